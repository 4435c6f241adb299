"""The Signal protocol in libsignal's form, as WhatsApp's clients speak it."""
