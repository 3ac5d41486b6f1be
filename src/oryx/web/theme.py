"""How the page looks: one accent, system fonts, both by day and by night."""

from __future__ import annotations

from importlib.resources import files

from gradio.themes import Base
from gradio.themes.utils import colors, fonts, sizes

_SHADES = (50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 950)
_ACCENT = (
    *("#eefaf7", "#d3f2ea", "#a8e4d7", "#72cfbe", "#41b3a1", "#259684"),
    *("#17796b", "#156157", "#144e47", "#13413c", "#052623"),
)
_NEUTRAL = (
    *("#fafaf9", "#f4f4f2", "#e7e6e3", "#d5d4d0", "#a6a5a0", "#77766f"),
    *("#5a5953", "#43423e", "#2a2a28", "#1d1d1c", "#141413"),
)
_SYSTEM = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
_FIXED = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


def _color(name: str, values: tuple[str, ...]) -> colors.Color:
    return colors.Color(name=name, **{f"c{shade}": value for shade, value in zip(_SHADES, values)})


def make_theme() -> Base:
    """The page's theme; Gradio follows the system's choice of dark or light."""
    accent, neutral = _color("oryx", _ACCENT), _color("stone", _NEUTRAL)
    theme = Base(
        primary_hue=accent,
        secondary_hue=accent,
        neutral_hue=neutral,
        radius_size=sizes.radius_md,
        spacing_size=sizes.spacing_md,
        text_size=sizes.text_md,
        font=[fonts.Font(name) for name in _SYSTEM],
        font_mono=[fonts.Font(name) for name in _FIXED],
    )
    return theme.set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color="*neutral_900",
        body_text_color_dark="*neutral_100",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        background_fill_primary="white",
        background_fill_primary_dark="*neutral_900",
        background_fill_secondary="*neutral_100",
        background_fill_secondary_dark="*neutral_800",
        border_color_primary="*neutral_200",
        border_color_primary_dark="*neutral_800",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_width="1px",
        block_border_color="*neutral_200",
        block_border_color_dark="*neutral_800",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_400",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_300",
        block_title_text_weight="500",
        block_shadow="none",
        input_background_fill="*neutral_50",
        input_background_fill_dark="*neutral_950",
        input_border_color="*neutral_200",
        input_border_color_dark="*neutral_800",
        input_border_color_focus="*primary_500",
        input_border_color_focus_dark="*primary_400",
        input_shadow="none",
        input_shadow_focus="none",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_500",
        slider_color="*primary_600",
        slider_color_dark="*primary_400",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_500",
        button_primary_text_color="white",
        button_primary_border_color="*primary_600",
        button_primary_border_color_dark="*primary_600",
        button_border_width="1px",
        button_secondary_background_fill="white",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_dark="*neutral_900",
        button_secondary_background_fill_hover_dark="*neutral_800",
        button_secondary_border_color="*neutral_200",
        button_secondary_border_color_dark="*neutral_800",
        button_secondary_text_color="*neutral_900",
        button_secondary_text_color_dark="*neutral_100",
        checkbox_background_color_selected="*primary_600",
        checkbox_background_color_selected_dark="*primary_500",
        checkbox_border_color_selected="*primary_600",
        checkbox_border_color_selected_dark="*primary_500",
        color_accent_soft="*primary_50",
        color_accent_soft_dark="*primary_950",
        link_text_color="*primary_600",
        link_text_color_dark="*primary_300",
    )


def style_sheet() -> str:
    """The page's own CSS."""
    return files("oryx.web").joinpath("page.css").read_text(encoding="utf-8")
