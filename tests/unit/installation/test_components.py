"""What the wheels inside a package say of themselves, and what the package asks for because of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from installation.components import read_components
from installation.deb import copyright_of, debian_version
from installation.problem import Problem


def component(
    home: Path, name: str, *, metadata: str = "", tags: tuple[str, ...] = ("py3-none-any",)
) -> None:
    information = home / "lib/python3.11/site-packages" / f"{name}-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{metadata}\nText\n"
    )
    (information / "WHEEL").write_text("Wheel-Version: 1.0\n" + "".join(f"Tag: {tag}\n" for tag in tags))


@pytest.mark.parametrize(
    ("tags", "libc"),
    [
        (("py3-none-any",), (0, 0)),
        (("cp311-cp311-manylinux_2_27_x86_64", "cp311-cp311-manylinux_2_28_x86_64"), (2, 27)),
        (("cp310-abi3-manylinux2014_aarch64",), (2, 17)),
    ],
)
def test_libc_is_the_oldest_that_a_wheel_works_with(
    tmp_path: Path, tags: tuple[str, ...], libc: tuple[int, int]
) -> None:
    component(tmp_path, "some", tags=tags)
    assert read_components(tmp_path)["some"].libc == libc


def test_wheel_that_was_compiled_for_this_machine_only_is_refused(tmp_path: Path) -> None:
    component(tmp_path, "some", tags=("cp311-cp311-linux_x86_64",))
    with pytest.raises(Problem, match="linux_x86_64"):
        _ = read_components(tmp_path)["some"].libc


@pytest.mark.parametrize(
    ("metadata", "licence"),
    [
        ("License-Expression: MIT\nLicense: something else\n", "MIT"),
        ("License: BSD\n        many lines of it\n", "BSD"),
        ("License: UNKNOWN\nClassifier: License :: OSI Approved :: MIT License\n", "MIT License"),
        ("Classifier: Topic :: Internet\n", "not stated"),
    ],
)
def test_licence_is_what_the_wheel_says(tmp_path: Path, metadata: str, licence: str) -> None:
    component(tmp_path, "some", metadata=metadata)
    assert read_components(tmp_path)["some"].licence == licence


def test_copyright_names_everything_inside(tmp_path: Path) -> None:
    component(tmp_path, "tower")
    component(tmp_path, "one", metadata="License: MIT\n")
    component(tmp_path, "Two", metadata="License: BSD\n")
    text = copyright_of(read_components(tmp_path))
    assert text.splitlines()[-2:] == ["one 1.0: MIT", "Two 1.0: BSD"]


@pytest.mark.parametrize(
    ("python", "debian"),
    [
        ("0.1.0", "0.1.0-3"),
        ("1.0rc1", "1.0~rc1-3"),
        ("1.0a2", "1.0~a2-3"),
        ("1.2.dev4", "1.2~dev4-3"),
    ],
)
def test_version_before_a_release_sorts_before_it_in_debian(python: str, debian: str) -> None:
    assert debian_version(python, "3") == debian
