//! zstd frames written by hand (RFC 8878), so that they are the same bytes with
//! every version of every encoder, and may say what no encoder would.

/// A block of a frame.
#[derive(Clone, Debug)]
pub enum Block {
    /// Bytes as they are.
    Raw(Vec<u8>),
    /// One byte, so many times; at most 128 KiB.
    Run(u8, u32),
}

/// How long one block may be, in bytes of output.
pub const BLOCK_BYTES_MAX: u32 = 128 * 1024;

/// The window descriptor of 8 MiB: exponent 13 above 1 KiB, mantissa 0.
pub const WINDOW_8_MIB: u8 = 13 << 3;

/// The head of a frame.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head {
    /// The window descriptor; none makes it a frame of a single segment, which
    /// must then say its content size.
    pub window: Option<u8>,
    /// The content size it claims, written in eight bytes.
    pub content_bytes: Option<u64>,
    /// The dictionary it claims to need.
    pub dictionary: Option<u8>,
}

/// Writes one frame.
pub fn frame(head: Head, blocks: &[Block]) -> Vec<u8> {
    let mut bytes = 0xFD2F_B528_u32.to_le_bytes().to_vec();
    let single = u8::from(head.window.is_none()) << 5;
    let size = if head.content_bytes.is_some() { 3 << 6 } else { 0 };
    bytes.push(size | single | u8::from(head.dictionary.is_some()));
    bytes.extend(head.window);
    bytes.extend(head.dictionary);
    bytes.extend(head.content_bytes.iter().flat_map(|size| size.to_le_bytes()));
    for (at, block) in blocks.iter().enumerate() {
        let last = u32::from(at + 1 == blocks.len());
        let (kind, size, content) = match block {
            Block::Raw(content) => (0, u32::try_from(content.len()).unwrap(), content.clone()),
            Block::Run(byte, times) => (1, *times, vec![*byte]),
        };
        bytes.extend_from_slice(&(last | kind << 1 | size << 3).to_le_bytes()[..3]);
        bytes.extend(content);
    }
    bytes
}

/// A plain frame around `content`, in blocks as they are.
pub fn stored(content: &[u8]) -> Vec<u8> {
    let blocks: Vec<Block> =
        content.chunks(BLOCK_BYTES_MAX as usize).map(|block| Block::Raw(block.to_vec())).collect();
    frame(Head { window: Some(WINDOW_8_MIB), content_bytes: Some(content.len() as u64), dictionary: None }, &blocks)
}

/// A frame that gives `blocks` times 128 KiB of zeros.
pub fn bomb(blocks: usize) -> Vec<u8> {
    let head = Head { window: Some(WINDOW_8_MIB), ..Head::default() };
    frame(head, &vec![Block::Run(0, BLOCK_BYTES_MAX); blocks])
}
