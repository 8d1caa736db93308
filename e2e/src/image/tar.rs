//! As much of the `ustar` format as images need, without times or owners, so that equal input gives equal bytes.

const BLOCK: usize = 512;

/// What an entry is.
#[derive(Clone, Copy)]
enum Kind<'a> {
    File,
    Directory,
    Link(&'a str),
}

/// A tar archive being written.
#[derive(Debug, Default)]
pub struct Tar {
    bytes: Vec<u8>,
}

impl Tar {
    /// Adds a regular file.
    pub fn file(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.header(name, mode, content.len(), Kind::File);
        self.bytes.extend_from_slice(content);
        self.bytes
            .resize(self.bytes.len().next_multiple_of(BLOCK), 0);
    }

    /// Adds a directory.
    pub fn directory(&mut self, name: &str, mode: u32) {
        self.header(&format!("{name}/"), mode, 0, Kind::Directory);
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, name: &str, target: &str) {
        self.header(name, 0o777, 0, Kind::Link(target));
    }

    /// The whole archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 2 * BLOCK, 0);
        self.bytes
    }

    fn header(&mut self, name: &str, mode: u32, size: usize, kind: Kind<'_>) {
        let (kind, target) = match kind {
            Kind::File => (b'0', ""),
            Kind::Link(target) => (b'2', target),
            Kind::Directory => (b'5', ""),
        };
        let before = [
            field(name, 100),
            octal(u64::from(mode), 8),
            octal(0, 8),
            octal(0, 8),
            octal(size as u64, 12),
            octal(0, 12),
        ]
        .concat();
        let after = [vec![kind], field(target, 100), b"ustar\x0000".to_vec()].concat();
        let sum: u64 = before
            .iter()
            .chain(&after)
            .map(|&byte| u64::from(byte))
            .sum::<u64>()
            + 8 * u64::from(b' ');
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&before);
        self.bytes
            .extend_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.bytes.extend_from_slice(&after);
        self.bytes.resize(start + BLOCK, 0);
    }
}

/// Text at the start of a field that is filled up with zeroes. The lab's names are its own and fit.
fn field(text: &str, width: usize) -> Vec<u8> {
    debug_assert!(text.len() <= width, "{text} does not fit a tar header");
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(width, 0);
    bytes
}

fn octal(number: u64, width: usize) -> Vec<u8> {
    field(&format!("{number:0digits$o}", digits = width - 1), width)
}
