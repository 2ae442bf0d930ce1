//! A theme as TOML: a table a role. The built-in ones are such files too.

use super::{ROLES, Theme};
use crate::cli::ThemeName;
use crate::document::{Document, Entry, Fault, in_order, nearest, suggestion};
use clap::ValueEnum;
use ratatui::style::{Color, Modifier, Style};
use toml::de::DeValue;

/// The 16 colours that every terminal has, by the names that files give them; `default` is the terminal's own.
const NAMES: [(&str, Color); 17] = [
    ("default", Color::Reset),
    ("black", Color::Black),
    ("red", Color::Red),
    ("green", Color::Green),
    ("yellow", Color::Yellow),
    ("blue", Color::Blue),
    ("magenta", Color::Magenta),
    ("cyan", Color::Cyan),
    ("white", Color::Gray),
    ("bright-black", Color::DarkGray),
    ("bright-red", Color::LightRed),
    ("bright-green", Color::LightGreen),
    ("bright-yellow", Color::LightYellow),
    ("bright-blue", Color::LightBlue),
    ("bright-magenta", Color::LightMagenta),
    ("bright-cyan", Color::LightCyan),
    ("bright-white", Color::White),
];

const ATTRIBUTES: [(&str, Modifier); 4] = [
    ("bold", Modifier::BOLD),
    ("dim", Modifier::DIM),
    ("reverse", Modifier::REVERSED),
    ("underline", Modifier::UNDERLINED),
];

/// The file of a built-in theme, as it lies in `assets/themes`.
pub(super) fn text(name: ThemeName) -> &'static str {
    match name {
        ThemeName::Auto => include_str!("../../../assets/themes/auto.toml"),
        ThemeName::Dark => include_str!("../../../assets/themes/dark.toml"),
        ThemeName::Light => include_str!("../../../assets/themes/light.toml"),
        ThemeName::Safe => include_str!("../../../assets/themes/safe.toml"),
        ThemeName::Mono => include_str!("../../../assets/themes/mono.toml"),
    }
}

impl Theme {
    /// The file of a built-in theme: one to start from.
    pub fn source(name: ThemeName) -> &'static str {
        text(name)
    }

    /// The built-in themes and what each is for, a line each.
    pub fn list() -> String {
        let about = |name| text(name).lines().nth(1).unwrap_or_default().trim_start_matches("# ");
        let lines = ThemeName::value_variants().iter().map(|n| format!("{:<6}{}\n", n.as_str(), about(*n)));
        lines.collect()
    }

    /// Reads a theme. Roles that it does not name are those of the theme that `base` names, else of `auto`.
    ///
    /// # Errors
    /// No TOML, or an unknown role, key or colour; `file` is how the message calls the file.
    pub fn parse(file: &str, text: &str) -> Result<Self, Fault> {
        let document = Document { file, text };
        let mut entries = document.entries()?;
        let mut theme = match entries.iter().position(|e| e.key == "base") {
            Some(at) => base(document, &entries.remove(at))?,
            None if text == self::text(ThemeName::Auto) => Self::PLAIN,
            None => Self::built_in(ThemeName::Auto),
        };
        for entry in entries {
            let Some(role) = theme.role(&entry.key) else {
                let names = ROLES.iter().map(|(name, _)| *name).chain(["base"]);
                let text = format!("there is no role '{}'; {}", entry.key, suggestion(&entry.key, names));
                return Err(document.fault(entry.at, text));
            };
            *role = style(document, entry)?;
        }
        Ok(theme)
    }
}

fn base(document: Document<'_>, entry: &Entry<'_>) -> Result<Theme, Fault> {
    let word = entry.value.as_str().unwrap_or_default();
    match ThemeName::from_str(word, false) {
        Ok(name) => Ok(Theme::built_in(name)),
        Err(_) => {
            let names = ThemeName::value_variants().iter().map(|n| n.as_str());
            let text = format!("base names a built-in theme, not '{word}'; {}", suggestion(word, names));
            Err(document.fault(entry.value_at, text))
        }
    }
}

fn style(document: Document<'_>, entry: Entry<'_>) -> Result<Style, Fault> {
    let DeValue::Table(table) = entry.value else {
        let text = format!("'{}' must be a table, such as {{ fg = \"green\", bold = true }}", entry.key);
        return Err(document.fault(entry.value_at, text));
    };
    let mut style = Style::new();
    for part in in_order(table) {
        let key = part.key.as_ref();
        if key == "fg" {
            style = style.fg(color(document, &part)?);
        } else if key == "bg" {
            style = style.bg(color(document, &part)?);
        } else if let Some((_, modifier)) = ATTRIBUTES.iter().find(|(name, _)| *name == key) {
            match part.value {
                DeValue::Boolean(true) => style = style.add_modifier(*modifier),
                DeValue::Boolean(false) => {}
                _ => return Err(document.fault(part.value_at, format!("{key} is true or false"))),
            }
        } else {
            let names = ["fg", "bg"].into_iter().chain(ATTRIBUTES.iter().map(|(name, _)| *name));
            let text = format!("a style has no '{key}'; {}", suggestion(key, names));
            return Err(document.fault(part.at, text));
        }
    }
    Ok(style)
}

fn color(document: Document<'_>, part: &Entry<'_>) -> Result<Color, Fault> {
    let told = |why: String| document.fault(part.value_at, why);
    match &part.value {
        DeValue::Integer(n) => {
            let index = u8::from_str_radix(n.as_str(), n.radix());
            index.map(Color::Indexed).map_err(|_| told(format!("'{n}' is no index of a colour: those are 0 to 255")))
        }
        DeValue::String(word) => match NAMES.iter().find(|(name, _)| *name == word.as_ref()) {
            Some((_, color)) => Ok(*color),
            None => hex(word).ok_or_else(|| {
                let meant = match nearest(word, NAMES.iter().map(|(name, _)| *name)) {
                    Some(name) => format!("did you mean {name}?"),
                    None => "use a name such as red or bright-red, \"#rrggbb\", or an index 0 to 255".into(),
                };
                told(format!("'{word}' is no colour; {meant}"))
            }),
        },
        other => Err(told(format!(
            "{} is a name such as \"red\", \"#rrggbb\", or an index 0 to 255, not a TOML {}",
            part.key,
            other.type_str()
        ))),
    }
}

/// `#rrggbb`.
fn hex(word: &str) -> Option<Color> {
    let digits = word.strip_prefix('#').filter(|d| d.len() == 6 && d.bytes().all(|b| b.is_ascii_hexdigit()))?;
    let [_, r, g, b] = u32::from_str_radix(digits, 16).ok()?.to_be_bytes();
    Some(Color::Rgb(r, g, b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Theme::parse("my.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn the_built_in_files_are_read_and_name_every_role() {
        for name in ThemeName::value_variants() {
            let theme = Theme::parse(name.as_str(), text(*name));
            assert!(theme.is_ok(), "{theme:?}");
            for (role, about) in ROLES {
                let lines = format!("# {about}\n{role} = {{");
                assert!(text(*name).contains(&lines), "{}.toml lacks:\n{lines}", name.as_str());
            }
            assert!(!text(*name).lines().any(|l| l.starts_with("base")), "a theme to start from stands alone");
        }
    }

    #[test]
    fn mono_has_no_colour() {
        let mut theme = Theme::built_in(ThemeName::Mono);
        for (role, _) in ROLES {
            let style = theme.role(role).unwrap();
            assert_eq!((style.fg, style.bg), (None, None), "{role}");
        }
        assert!(theme.selected.add_modifier.contains(Modifier::REVERSED));
    }

    #[test]
    fn colours_are_names_numbers_or_hex() {
        let text =
            "holding = { fg = \"bright-red\", bg = \"#0102fF\", bold = true, dim = false }\n[waiting]\nfg = 208\n";
        let theme = Theme::parse("my.toml", text).unwrap();
        let style = Style::new().fg(Color::LightRed).bg(Color::Rgb(1, 2, 255)).add_modifier(Modifier::BOLD);
        assert_eq!((theme.holding, theme.waiting), (style, Style::new().fg(Color::Indexed(208))));
        assert_eq!(theme.alarm, Theme::built_in(ThemeName::Auto).alarm, "what it leaves out is auto's");
        let theme = Theme::parse("my.toml", "base = \"light\"\n").unwrap();
        assert_eq!(theme, Theme::built_in(ThemeName::Light));
    }

    #[test]
    fn what_is_unknown_is_refused_with_line_and_suggestion() {
        assert_eq!(refused("\nholdin = { fg = 1 }"), "my.toml:2: there is no role 'holdin'; did you mean holding?");
        assert_eq!(refused("text = { fg = \"gren\" }"), "my.toml:1: 'gren' is no colour; did you mean green?");
        assert_eq!(refused("[text]\nfg = 1\nbolt = true"), "my.toml:3: a style has no 'bolt'; did you mean bold?");
        assert!(refused("text = { fg = 256 }").contains("0 to 255"));
        assert!(refused("text = { fg = -1 }").contains("0 to 255"));
        assert!(refused("text = { fg = \"#12345\" }").contains("#rrggbb"));
        assert!(refused("text = { fg = \"#+12345\" }").contains("#rrggbb"));
        assert!(refused("text = { fg = 1.5 }").contains("#rrggbb"));
        assert!(refused("text = { bold = 1 }").contains("true or false"));
        assert!(refused("text = \"green\"").contains("must be a table"));
        assert!(refused("base = \"drak\"").contains("did you mean dark?"));
        assert!(refused("text = {").contains("not TOML"));
    }
}
