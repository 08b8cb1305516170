"""Verification: does a finished audit still say what it measured?"""
