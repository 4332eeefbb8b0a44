"""Serving: a deployed model over HTTP, with a page for people."""
