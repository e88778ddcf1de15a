"""Campaigns: one video to many people, each of them once."""
