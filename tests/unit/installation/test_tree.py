"""What is installed, brought up to date and taken away; the environment is another test's business."""

from __future__ import annotations

from pathlib import Path

import pytest

from installation import environment
from installation import tree as tree_module
from installation.layout import CONFIG, Layout
from installation.tree import Tree

PREFIX = Path("/opt/tower")


def pretend_build(place: Path, final: Path, wheels: Path) -> None:
    (place / "bin").mkdir()
    (place / "made-of").write_text(wheels.name)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    monkeypatch.setattr(environment, "build", pretend_build)
    monkeypatch.setattr(tree_module, "run", lambda command, _remedy: f"completes in {command[-1]}\n")
    return Tree(Layout(PREFIX), tmp_path)


def files(root: Path) -> set[str]:
    return {
        f"/{path.relative_to(root)}" for path in root.rglob("*") if not path.is_dir() or path.is_symlink()
    }


def test_units_call_the_commands_of_the_prefix(tree: Tree, tmp_path: Path) -> None:
    tree.grow(Path("wheels"))
    unit = (tmp_path / "etc/systemd/system/towerd.service").read_text()
    assert "ExecStart=/opt/tower/bin/towerd\n" in unit
    assert "/usr/bin" not in unit
    example = (tmp_path / "opt/tower/share/doc/tower/examples/tower-wait@.service").read_text()
    assert "ExecStart=/opt/tower/bin/towerctl " in example


def test_commands_are_links_that_hold_wherever_the_root_is(tree: Tree, tmp_path: Path) -> None:
    tree.grow(Path("wheels"))
    for command in ("towerctl", "towerd"):
        assert (tmp_path / "opt/tower/bin" / command).readlink() == Path("../lib/tower/bin") / command


def test_manuals_and_completions_lie_where_they_are_looked_for(tree: Tree, tmp_path: Path) -> None:
    tree.grow(Path("wheels"))
    share = "/opt/tower/share"
    assert files(tmp_path) >= {
        f"{share}/man/man1/towerctl.1",
        f"{share}/man/man8/towerd.8",
        f"{share}/man/man5/tower.toml.5",
        f"{share}/man/man7/tower-rpc.7",
        f"{share}/bash-completion/completions/towerctl",
        f"{share}/zsh/site-functions/_towerctl",
        f"{share}/fish/vendor_completions.d/towerctl.fish",
        f"{share}/doc/tower/README.md",
        f"{share}/doc/tower/docs/automation.md",
        f"{share}/doc/tower/docs/faults.md",
    }
    assert (tmp_path / "opt/tower/share/zsh/site-functions/_towerctl").read_text() == "completes in zsh\n"


def test_files_can_be_read_by_everybody(tree: Tree, tmp_path: Path) -> None:
    tree.grow(Path("wheels"))
    modes = {
        (tmp_path / path.relative_to("/")).stat().st_mode & 0o777
        for path in tree.manifest()
        if path.parent != PREFIX / "bin"
    }
    assert modes == {0o644}


def test_what_is_taken_away_is_all_but_the_configuration(tree: Tree, tmp_path: Path) -> None:
    tree.grow(Path("wheels"))
    assert tree.is_there()
    tree.clear()
    assert files(tmp_path) == {str(CONFIG)}
    assert not tree.is_there()
    assert not (tmp_path / "opt/tower/share/doc/tower").exists()


def test_a_configuration_that_is_there_is_left_alone(tree: Tree, tmp_path: Path) -> None:
    config = tmp_path / CONFIG.relative_to("/")
    config.parent.mkdir(parents=True)
    config.write_text("[pairing]\n")
    tree.grow(Path("wheels"))
    assert config.read_text() == "[pairing]\n"


def test_a_newer_version_replaces_the_environment_and_takes_away_what_it_has_no_longer(
    tree: Tree, tmp_path: Path
) -> None:
    tree.grow(Path("old-wheels"))
    gone = PREFIX / "share/man/man1/towerold.1"
    tree.real(gone).write_text("")
    manifest = tree.real(Layout(PREFIX).manifest)
    manifest.write_text(f"{manifest.read_text()}{gone}\n")
    Tree(Layout(PREFIX), tmp_path).grow(Path("new-wheels"))
    assert not tree.real(gone).exists()
    assert gone not in tree.manifest()
    assert (tmp_path / "opt/tower/lib/tower/made-of").read_text() == "new-wheels"
    assert [path.name for path in (tmp_path / "opt/tower/lib").iterdir()] == ["tower"]


def test_files_of_others_are_not_taken_away(tree: Tree, tmp_path: Path) -> None:
    tree.grow(Path("wheels"))
    own = tmp_path / "opt/tower/share/man/man1/other.1"
    own.write_text("")
    tree.clear()
    assert own.exists()
