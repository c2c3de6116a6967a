"""The app's own colours, all of them from the 256-colour palette so that SSH changes none."""

from __future__ import annotations

from textual.theme import Theme

# Variables that the style sheets use beside Textual's own; every theme must know them.
FALLBACK_VARIABLES = {
    "muted": "#8a8a8a",
    "faint": "#6c6c6c",
    "line": "#444444",
    "base-side": "#87afd7",
    "tuned-side": "#d7af5f",
}

DARK = Theme(
    name="workbench",
    primary="#87afd7",
    secondary="#afafd7",
    accent="#d7af5f",
    warning="#d7af5f",
    error="#d75f5f",
    success="#87af87",
    foreground="#d0d0d0",
    background="#121212",
    surface="#121212",
    panel="#1c1c1c",
    boost="#262626",
    dark=True,
    variables={
        **FALLBACK_VARIABLES,
        "border": "#87afd7",
        "border-blurred": "#444444",
        "block-cursor-background": "#303030",
        "block-cursor-foreground": "#ffffff",
        "block-cursor-text-style": "bold",
        "block-cursor-blurred-background": "#262626",
        "block-cursor-blurred-foreground": "#d0d0d0",
        "input-cursor-background": "#87afd7",
        "input-cursor-foreground": "#121212",
        "input-selection-background": "#5f87af",
        "footer-background": "#1c1c1c",
        "footer-key-foreground": "#87afd7",
        "footer-description-foreground": "#a8a8a8",
        "scrollbar": "#3a3a3a",
        "scrollbar-hover": "#585858",
        "scrollbar-active": "#87afd7",
        "scrollbar-background": "#121212",
        "scrollbar-background-hover": "#121212",
        "scrollbar-background-active": "#121212",
        "scrollbar-corner-color": "#121212",
    },
)

LIGHT = Theme(
    name="workbench-light",
    primary="#005f87",
    secondary="#5f5f87",
    accent="#875f00",
    warning="#875f00",
    error="#af0000",
    success="#005f00",
    foreground="#303030",
    background="#eeeeee",
    surface="#eeeeee",
    panel="#e4e4e4",
    boost="#dadada",
    dark=False,
    variables={
        "muted": "#626262",
        "faint": "#808080",
        "line": "#b2b2b2",
        "base-side": "#005f87",
        "tuned-side": "#875f00",
        "border": "#005f87",
        "border-blurred": "#b2b2b2",
        "block-cursor-background": "#d0d0d0",
        "block-cursor-foreground": "#000000",
        "block-cursor-blurred-background": "#dadada",
        "block-cursor-blurred-foreground": "#303030",
        "footer-background": "#e4e4e4",
        "footer-key-foreground": "#005f87",
        "footer-description-foreground": "#4e4e4e",
        "scrollbar": "#b2b2b2",
        "scrollbar-background": "#eeeeee",
        "scrollbar-background-hover": "#eeeeee",
        "scrollbar-background-active": "#eeeeee",
        "scrollbar-corner-color": "#eeeeee",
    },
)

THEMES = (DARK, LIGHT)
