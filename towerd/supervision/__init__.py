"""Worker processes and what they mean for accounts: one keeper per account, one supervisor over all."""
