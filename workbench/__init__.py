"""dpo-workbench: Direct Preference Optimization in one terminal app."""

__version__ = "0.1.0"
