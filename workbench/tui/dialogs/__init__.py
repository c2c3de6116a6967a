"""Small modal questions; each answers with one typed value."""
