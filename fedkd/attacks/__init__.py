"""What an adversary learns: audits of what is released."""
