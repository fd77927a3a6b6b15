//! Flame graphs as SVG files that need nothing else: no network, no fonts, no style sheets.
//!
//! A frame's colour says whose code it is, so that the line to edit is found by eye.

use crate::vocabulary::owner::{Owner, owner};
use crate::vocabulary::process::{Target, printable};
use inferno::flamegraph::color::{BackgroundColor, Color, PaletteMap};
use inferno::flamegraph::{self, Options, TextTruncateDirection};
use std::collections::HashSet;
use std::fmt::Write;
use std::io;

/// What stands around the frames.
#[derive(Clone, Copy, Debug)]
pub struct Caption<'a> {
    /// In large letters: whose what. `Open descriptors of relay (pid 812)`.
    pub title: &'a str,
    /// Below it: how much, how it was measured, when.
    pub subtitle: &'a str,
    /// What the values count, in the plural: `bytes`, `goroutines`.
    pub unit: &'a str,
    /// Path of the program's main module, where it is known: its functions are coloured as the program's own.
    pub main_module: Option<&'a str>,
}

/// `name (pid 812)`.
pub fn name_of(process: &Target) -> String {
    format!("{} (pid {})", process.name, process.id.pid)
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum SvgError {
    /// No stack has a value above zero.
    #[error("there is nothing to draw: no stack has a value above 0")]
    Empty,
    /// The library that draws failed.
    #[error("draw the flame graph: {0}")]
    Draw(#[from] io::Error),
}

/// Draws folded stacks as [`super::folded::folded`] gives them: a line each, root first, parted by semicolons, then a
/// blank and the value. Values that are not positive have no width and are left out.
///
/// # Errors
/// See [`SvgError`].
pub fn flame_graph(folded: &str, caption: &Caption<'_>) -> Result<Vec<u8>, SvgError> {
    let lines: Vec<String> = folded.lines().filter_map(drawable).collect();
    if lines.is_empty() {
        return Err(SvgError::Empty);
    }
    let functions =
        || lines.iter().filter_map(|line| line.rsplit_once(' ')).flat_map(|(stack, _)| stack.split(';'));
    let mut colours = PaletteMap::default();
    colours.insert("", Colour::ROOT);
    for function in functions() {
        colours.insert(function, Colour::of(function, caption.main_module).shade(function));
    }
    let seen: HashSet<Colour> =
        functions().map(|function| Colour::of(function, caption.main_module)).collect();
    let mut options = Options::default();
    options.title = harmless(caption.title);
    // Room for it, and for the legend; both are written below.
    options.subtitle = Some(String::new());
    options.count_name = harmless(caption.unit);
    options.bgcolors = Some(BackgroundColor::Flat(Color::new(250, 250, 250)));
    options.palette_map = Some(&mut colours);
    // The end of a Go name tells the function, its beginning only where the module is hosted.
    options.text_truncate_direction = TextTruncateDirection::Left;
    let mut svg = Vec::new();
    flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut svg)?;
    Ok(with_captions(svg, caption.subtitle, &seen))
}

/// The line as the library wants it; `None` where it would draw nothing.
fn drawable(line: &str) -> Option<String> {
    let (stack, value) = line.rsplit_once(' ')?;
    let value: u64 = value.parse().ok().filter(|value| *value > 0)?;
    let mut stack = harmless(stack);
    let ends_in_number =
        stack.rsplit_once(' ').is_some_and(|(_, last)| last.chars().all(|c| c.is_ascii_digit() || c == '.'));
    // Two numbers at the end of a line would be read as a difference, and a leading # as a remark.
    if ends_in_number || stack.starts_with('#') {
        stack = stack.replace(' ', "\u{a0}");
    }
    Some(format!("{stack} {value}"))
}

/// XML has no place for control characters, not even escaped. Others that nobody sees come out as their escapes.
fn harmless(text: &str) -> String {
    let is_refused = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    let text: String = text.chars().map(|c| if is_refused(c) { '\u{fffd}' } else { c }).collect();
    printable(text.as_bytes())
}

/// Whose code a frame is, as colours tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Colour {
    Go(Owner),
    /// Names without a package: C, assembly, bare addresses.
    NotGo,
    /// A place in brackets stands for a stack that is not known.
    Unknown,
}

impl Colour {
    const ALL: [Colour; 6] = [
        Colour::Go(Owner::Own),
        Colour::Go(Owner::Dependency),
        Colour::Go(Owner::Standard),
        Colour::Go(Owner::Runtime),
        Colour::NotGo,
        Colour::Unknown,
    ];
    const ROOT: Color = Color::new(225, 225, 225);

    fn of(function: &str, main_module: Option<&str>) -> Colour {
        if function.starts_with('[') {
            return Colour::Unknown;
        }
        let is_go = function.contains('.') && !function.starts_with("0x");
        if is_go { Colour::Go(owner(function, main_module)) } else { Colour::NotGo }
    }

    fn meaning(self) -> &'static str {
        match self {
            Colour::Go(Owner::Own) => "the program's own",
            Colour::Go(Owner::Dependency) => "other modules",
            Colour::Go(Owner::Standard) => "Go's library",
            Colour::Go(Owner::Runtime) => "Go's runtime",
            Colour::NotGo => "not Go",
            Colour::Unknown => "not known",
        }
    }

    fn rgb(self) -> [u8; 3] {
        match self {
            Colour::Go(Owner::Own) => [247, 148, 72],
            Colour::Go(Owner::Dependency) => [240, 205, 90],
            Colour::Go(Owner::Standard) => [150, 190, 228],
            Colour::Go(Owner::Runtime) => [200, 200, 200],
            Colour::NotGo => [204, 172, 224],
            Colour::Unknown => [236, 226, 206],
        }
    }

    /// A little lighter or darker by name, so that neighbours can be told apart and the same program looks the same
    /// each time.
    fn shade(self, function: &str) -> Color {
        const SHADES: u64 = 24;
        let hash = function.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let darker = u8::try_from((hash >> 32) % SHADES).unwrap_or(0);
        let [red, green, blue] = self.rgb().map(|part| part.saturating_sub(darker));
        Color::new(red, green, blue)
    }
}

/// Adds the subtitle and what the colours mean, between the title and the frames.
fn with_captions(mut svg: Vec<u8>, subtitle: &str, seen: &HashSet<Colour>) -> Vec<u8> {
    const END: &[u8] = b"</svg>";
    const WIDTH_OF_LETTER: usize = 8;
    const WIDTH_OF_BOX: usize = 16;
    let Some(end) = svg.len().checked_sub(END.len()).filter(|end| &svg[*end..] == END) else { return svg };
    svg.truncate(end);
    let subtitle = escaped(&harmless(subtitle));
    let mut captions = format!("<text x=\"50%\" y=\"40\" text-anchor=\"middle\">{subtitle}</text>");
    let mut x = 10;
    for colour in Colour::ALL.into_iter().filter(|colour| seen.contains(colour)) {
        let [red, green, blue] = colour.rgb();
        let (meaning, text_x) = (colour.meaning(), x + WIDTH_OF_BOX);
        _ = write!(
            captions,
            "<rect x=\"{x}\" y=\"46\" width=\"11\" height=\"11\" fill=\"rgb({red},{green},{blue})\"/>\
             <text x=\"{text_x}\" y=\"56\">{meaning}</text>"
        );
        x = text_x + WIDTH_OF_BOX + meaning.len() * WIDTH_OF_LETTER;
    }
    svg.extend_from_slice(captions.as_bytes());
    svg.extend_from_slice(END);
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::{Caption, SvgError, flame_graph};

    const CAPTION: Caption<'_> = Caption {
        title: "Open descriptors of <relay> (pid 812)",
        subtitle: "42 descriptors by the code that opened & kept them",
        unit: "descriptors",
        main_module: Some("example.com/parcels"),
    };

    fn draw(folded: &str) -> String {
        String::from_utf8(flame_graph(folded, &CAPTION).unwrap()).unwrap()
    }

    #[test]
    fn each_frame_is_a_box_with_its_sum_and_share() {
        let svg = draw(
            "runtime.goexit;main.main;main.open[go.shape.struct { X int }];os.Open 30\n\
             runtime.goexit;main.main;C.connect_all 10\n\
             runtime.goexit;main.main;operator new 2\n\
             runtime.goexit;main.main;main.gone -5\n\
             runtime.goexit;main.main;main.never 0\n",
        );
        for title in [
            "<title>all (42 descriptors, 100%)</title>",
            "<title>main.main (42 descriptors, 100.00%)</title>",
            "<title>main.open[go.shape.struct { X int }] (30 descriptors, 71.43%)</title>",
            "<title>operator new (2 descriptors, 4.76%)</title>",
        ] {
            assert!(svg.contains(title), "{title} in {svg}");
        }
        assert!(!svg.contains("main.gone") && !svg.contains("main.never"));
    }

    #[test]
    fn colours_say_whose_code_it_is_and_the_legend_says_which() {
        let svg = draw("runtime.goexit;example.com/parcels/store.Put;os.Open 7\n[opened before] 1\n");
        for meaning in ["the program's own", "Go's library", "Go's runtime", "not known"] {
            assert!(svg.contains(&format!(">{meaning}</text>")), "{meaning}");
        }
        assert!(!svg.contains(">other modules<") && !svg.contains(">not Go<"));
        assert_eq!(draw("main.main 1\n"), draw("main.main 1\n"));
    }

    #[test]
    fn no_name_breaks_the_picture_or_reaches_out_of_it() {
        let names = "</text><script src=\"http://x/\">;a\u{1b}[2J;]]>;line\u{85}end 9";
        let svg = draw(&format!("{names} 12\n# main.main 1\n"));
        for text in [
            "Open descriptors of &lt;relay&gt; (pid 812)</text>",
            ">42 descriptors by the code that opened &amp; kept them</text>",
            "src=&quot;http://x/&quot;&gt; (12 descriptors, 92.31%)",
            "a\u{fffd}[2J (12 descriptors",
            ">]]&gt; (12 descriptors",
            "line\u{fffd}end\u{a0}9 (12 descriptors, 92.31%)",
            "#\u{a0}main.main (1 descriptors, 7.69%)",
        ] {
            assert!(svg.contains(text), "{text} in {svg}");
        }
        for loaded in ["<script src", "<image", "<link", "<use", "@import", "url(http", "href=\"http"] {
            assert!(!svg.contains(loaded), "{loaded} in {svg}");
        }
    }

    #[test]
    fn nothing_to_draw_is_said() {
        for folded in ["", "\n\n", "main.main 0\n", "main.main\n", "main.main -3\n"] {
            assert!(matches!(flame_graph(folded, &CAPTION), Err(SvgError::Empty)), "{folded:?}");
        }
    }
}
