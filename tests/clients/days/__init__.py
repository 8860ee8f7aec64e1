"""Scripted days of users and administrators, a file for each kind of client and person."""
