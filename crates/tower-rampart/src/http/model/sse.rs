//! Reads a stream of server-sent events as it comes, in bounded memory. What an event says of a call is read in `stream`.

/// The most of a line that is read, in bytes.
const MAX_LINE: usize = 64 * 1024;
/// The most of the data of one event that is kept, in bytes.
const MAX_DATA: usize = 64 * 1024;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// An event of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event<'a> {
    /// What kind of event it is; `message` if it does not say.
    pub name: &'a str,
    /// Its data, the lines of it parted by line feeds; empty if it is cut.
    pub data: &'a str,
    /// Whether its data was longer than is kept, and is missing.
    pub is_cut: bool,
}

/// Reads `text/event-stream`, as the WHATWG's HTML standard defines it (section 9.2), in pieces that may be cut at any byte.
///
/// Lines end with CR, LF or CRLF; a byte order mark before the first, comments, and fields other than `event` and `data` are passed over. An event that is
/// not ended by an empty line is none. Of a line longer than 64 KiB only the field's name counts, and of an event with more than 64 KiB of data only that it was
/// there, so that no stream takes more than 128 KiB.
///
/// # Examples
/// ```
/// use tower_rampart::http::EventReader;
///
/// let mut reader = EventReader::new();
/// let mut seen = Vec::new();
/// for piece in [&b"event: ping\ndata: 1\n"[..], b"\ndata: [DO", b"NE]\n\n"] {
///     reader.read(piece, |event| seen.push((event.name.to_owned(), event.data.to_owned())));
/// }
/// assert_eq!(seen, [("ping".to_owned(), "1".to_owned()), ("message".to_owned(), "[DONE]".to_owned())]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct EventReader {
    /// The line that has begun.
    line: Vec<u8>,
    /// Whether the line is longer than is kept.
    is_long: bool,
    /// Whether the last piece ended with a CR, which a LF may follow.
    after_cr: bool,
    /// Whether a line has ended, so that there can be no byte order mark any more.
    has_begun: bool,
    draft: Draft,
}

/// The event that has begun.
#[derive(Clone, Debug, Default)]
struct Draft {
    name: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    is_cut: bool,
}

impl EventReader {
    /// A reader at the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a piece and hands over each event that it completes.
    pub fn read(&mut self, mut piece: &[u8], mut each: impl FnMut(Event<'_>)) {
        while let Some(&first) = piece.first() {
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                piece = &piece[1..];
                continue;
            }
            let end = piece.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            self.extend(&piece[..end.unwrap_or(piece.len())]);
            let Some(end) = end else { return };
            self.after_cr = piece[end] == b'\r';
            piece = &piece[end + 1..];
            self.end_line(&mut each);
        }
    }

    fn extend(&mut self, bytes: &[u8]) {
        let room = MAX_LINE + BOM.len() - self.line.len();
        self.is_long |= bytes.len() > room;
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn end_line(&mut self, each: &mut impl FnMut(Event<'_>)) {
        let line = std::mem::take(&mut self.line);
        let mut text = &line[..];
        if !std::mem::replace(&mut self.has_begun, true) {
            text = text.strip_prefix(BOM).unwrap_or(text);
        }
        let is_long = std::mem::take(&mut self.is_long) || text.len() > MAX_LINE;
        if text.is_empty() {
            self.draft.end(each);
        } else {
            self.draft.field(text, is_long);
        }
        // Its room is used again, unless one long line had made it large.
        self.line = line;
        self.line.clear();
        self.line.shrink_to(4096);
    }
}

impl Draft {
    fn field(&mut self, line: &[u8], is_long: bool) {
        let colon = line.iter().position(|byte| *byte == b':');
        let (field, value) = line.split_at(colon.unwrap_or(line.len()));
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => {
                self.name.clear();
                self.name.extend_from_slice(if is_long { b"" } else { value });
            }
            b"data" => {
                let parted = usize::from(self.has_data);
                self.is_cut |= is_long || self.data.len() + parted + value.len() > MAX_DATA;
                if self.is_cut {
                    self.data = Vec::new();
                } else {
                    if self.has_data {
                        self.data.push(b'\n');
                    }
                    self.data.extend_from_slice(value);
                }
                self.has_data = true;
            }
            _ => {}
        }
    }

    fn end(&mut self, each: &mut impl FnMut(Event<'_>)) {
        if std::mem::take(&mut self.has_data) {
            let name = String::from_utf8_lossy(&self.name);
            let name = if name.is_empty() { "message" } else { &name };
            let data = String::from_utf8_lossy(&self.data);
            each(Event { name, data: &data, is_cut: self.is_cut });
        }
        self.name.clear();
        self.data.clear();
        self.data.shrink_to(4096);
        self.is_cut = false;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Seen = (String, String, bool);

    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Seen> {
        let mut reader = EventReader::new();
        let mut seen = Vec::new();
        for piece in pieces {
            reader.read(piece, |event| seen.push((event.name.to_owned(), event.data.to_owned(), event.is_cut)));
            assert!(reader.line.capacity() <= 2 * (MAX_LINE + 4096) && reader.draft.data.len() <= MAX_DATA);
        }
        seen
    }

    fn data(stream: &str) -> Vec<String> {
        read([stream.as_bytes()]).into_iter().map(|(_, data, _)| data).collect()
    }

    /// What the standard itself says, over the whole text at once.
    fn by_the_standard(stream: &[u8]) -> Vec<Seen> {
        let text = String::from_utf8_lossy(stream.strip_prefix(BOM).unwrap_or(stream)).into_owned();
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let (mut seen, mut name, mut data) = (Vec::new(), String::new(), String::new());
        // What does not end is no line.
        let Some((lines, _)) = text.rsplit_once('\n') else { return seen };
        for line in lines.split('\n') {
            if line.is_empty() {
                if let Some(data) = data.strip_suffix('\n') {
                    let name = if name.is_empty() { "message".to_owned() } else { name.clone() };
                    seen.push((name, data.to_owned(), false));
                }
                name.clear();
                data.clear();
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut name),
                "data" => data.extend([value, "\n"]),
                _ => {}
            }
        }
        seen
    }

    #[test]
    fn lines_end_three_ways_and_data_may_have_several() {
        assert_eq!(data("data: a\n\ndata: b\r\n\r\ndata: c\r\r"), ["a", "b", "c"]);
        assert_eq!(data("data: a\ndata:b\ndata:  c\ndata\n\n"), ["a\nb\n c\n"]);
        assert_eq!(data(": comment\n\ndata\n\nid: 7\nretry: 3\nother\n\n"), [""]);
    }

    #[test]
    fn event_keeps_its_name_until_it_ends() {
        let seen = read([&b"event: a\nevent: b\ndata: 1\n\ndata: 2\n\nevent: c\n\ndata: 3\n\n"[..]]);
        let names: Vec<_> = seen.iter().map(|(name, data, _)| (name.as_str(), data.as_str())).collect();
        assert_eq!(names, [("b", "1"), ("message", "2"), ("message", "3")]);
    }

    #[test]
    fn byte_order_mark_is_one_at_the_beginning_only() {
        assert_eq!(data("\u{feff}data: 1\n\n\u{feff}data: 2\n\n"), ["1"]);
        assert_eq!(data("\u{feff}\ndata: 1\n\n"), ["1"]);
    }

    #[test]
    fn event_that_does_not_end_is_none() {
        assert_eq!(data("data: 1\n\ndata: 2\n"), ["1"]);
        assert_eq!(data("data: 1\n\ndata: 2"), ["1"]);
    }

    #[test]
    fn long_lines_and_long_events_are_cut_and_the_next_is_whole() {
        let long = "x".repeat(MAX_LINE);
        let half = "x".repeat(MAX_DATA / 2);
        for stream in [
            format!("data: {long}\n\ndata: 1\n\n"),
            format!("data: {half}\ndata: {half}\ndata: x\n\ndata: 1\n\n"),
            format!("data: x\ndata: {long}\ndata: y\n\ndata: 1\n\n"),
        ] {
            let seen = read(stream.as_bytes().chunks(1000));
            let cut = |data: &str, is_cut| ("message".to_owned(), data.to_owned(), is_cut);
            assert_eq!(seen, [cut("", true), cut("1", false)]);
        }
        assert_eq!(data(&format!(":{long}\n{long}\nevent: {long}\ndata: 1\n\n")), ["1"]);
        let most = "x".repeat(MAX_LINE - "data:".len());
        assert_eq!(data(&format!("data:{most}\n\n")), [most]);
    }

    #[test]
    fn what_is_no_utf_8_is_replaced() {
        assert_eq!(read([&b"data: \xff\n\n"[..]]), [("message".to_owned(), "\u{fffd}".to_owned(), false)]);
    }

    fn streams() -> impl Strategy<Value = Vec<u8>> {
        let word = prop::sample::select(vec![
            &b"data"[..],
            b"event",
            b"id",
            b": ",
            b":",
            b" ",
            b"\n",
            b"\r",
            b"\r\n",
            b"\n\n",
            b"\xef\xbb\xbf",
            b"\xef",
            b"x",
            b"{}",
            b"\xff",
        ]);
        prop_oneof![
            4 => prop::collection::vec(word, 0..60).prop_map(|words| words.concat()),
            1 => prop::collection::vec(any::<u8>(), 0..200),
        ]
    }

    proptest! {
        #[test]
        fn any_stream_is_read_as_the_standard_says_however_it_is_cut(
            stream in streams(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            at.extend([0, stream.len()]);
            at.sort_unstable();
            let pieces = at.windows(2).map(|it| &stream[it[0]..it[1]]);
            let seen = read(pieces);
            prop_assert_eq!(&seen, &read([&stream[..]]), "uncut");
            prop_assert_eq!(seen, by_the_standard(&stream));
        }
    }
}
