//! The colours of the dashboard can be read, in the light theme and in the dark one: contrast as WCAG 2.2 computes it
//! (<https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio>), from the very file that the page loads. How the page looks is told by the package `tests`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::HashMap;

const THEME: &str = include_str!("../assets/dashboard/theme.css");

/// Where there may be text, and in which colours.
const TEXTS: [(&str, &[&str]); 6] = [
    ("ground", &["text", "muted", "accent", "good", "warn", "bad"]),
    ("surface", &["text", "muted", "accent", "good", "warn", "bad"]),
    ("raised", &["text", "muted", "accent", "good", "warn", "bad"]),
    ("good-ground", &["text", "muted", "good"]),
    ("warn-ground", &["text", "muted", "warn", "bad"]),
    ("bad-ground", &["text", "muted", "bad", "accent"]),
];

/// Colour by name: light, dark.
fn colours() -> HashMap<&'static str, [[u8; 3]; 2]> {
    let line = |line: &'static str| {
        let (name, value) = line.trim().strip_prefix("--")?.split_once(':')?;
        let (light, dark) = value.trim().strip_prefix("light-dark(")?.strip_suffix(");")?.split_once(',')?;
        Some((name, [light, dark].map(|it| channels(it.trim()))))
    };
    THEME.lines().filter_map(line).collect()
}

fn channels(hex: &str) -> [u8; 3] {
    let number = u32::from_str_radix(hex.strip_prefix('#').unwrap(), 16).unwrap();
    let [_, red, green, blue] = number.to_be_bytes();
    [red, green, blue]
}

fn luminance(colour: [u8; 3]) -> f64 {
    let linear = colour.map(|it| {
        let share = f64::from(it) / 255.0;
        if share <= 0.040_45 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
    });
    0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
}

fn contrast(one: [u8; 3], other: [u8; 3]) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// Asserts a contrast in both themes.
fn assert_contrast(front: &str, ground: &str, least: f64) {
    let all = colours();
    for (theme, name) in ["light", "dark"].into_iter().enumerate() {
        let contrast = contrast(all[front][theme], all[ground][theme]);
        assert!(contrast >= least, "{front} on {ground}, {name}: {contrast:.2} : 1");
    }
}

#[test]
fn contrast_is_computed_as_the_recommendation_says() {
    assert!((contrast([0; 3], [255; 3]) - 21.0).abs() < 1e-9);
    // The grey that is known to be the lightest which passes on white.
    assert!((contrast([0x76; 3], [255; 3]) - 4.54).abs() < 0.005);
}

#[test]
fn text_has_at_least_four_and_a_half_to_one_on_every_ground_it_stands_on() {
    for (ground, fronts) in TEXTS {
        for front in fronts {
            assert_contrast(front, ground, 4.5);
        }
    }
    assert_contrast("on-accent", "accent", 4.5);
}

#[test]
fn edges_of_controls_have_at_least_three_to_one() {
    for ground in ["ground", "surface", "raised"] {
        assert_contrast("edge", ground, 3.0);
    }
}

#[test]
fn every_colour_is_a_colour_of_the_theme() {
    for (name, content) in [
        ("theme.css", THEME),
        ("layout.css", include_str!("../assets/dashboard/layout.css")),
        ("parts.css", include_str!("../assets/dashboard/parts.css")),
    ] {
        for line in content.lines().filter(|it| !it.trim_start().starts_with("--")) {
            assert!(!line.contains(": #") && !line.contains(" #fff"), "{name} has a colour of its own: {line}");
        }
    }
}
