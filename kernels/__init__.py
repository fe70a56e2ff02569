"""Placeholder docstring: the part writes it."""
