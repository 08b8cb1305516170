"""Membership-inference attacks: one file each, numpy only, importing nothing else of ours."""
