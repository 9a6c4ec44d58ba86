//! WebSocket framing (RFC 6455), as much as a load generator and its floor need, and no copy more.

use crate::error::{Error, Result};

/// The key that every handshake here sends: the RFC's own example. A fixed one is enough, because
/// there is no cache or proxy between two processes of one machine.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// The answer to [`KEY`], after RFC 6455, 1.3.
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The lengths that stand for a length of two or of eight bytes to follow.
const MEDIUM: u8 = 0x7e;
const LONG: u8 = 0x7f;

/// A frame's opcode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// Text.
    Text,
    /// The end.
    Close,
    /// A question for a sign of life.
    Ping,
    /// The answer to it.
    Pong,
}

impl Opcode {
    const fn code(self) -> u8 {
        match self {
            Self::Text => 1,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    fn parse(code: u8) -> Result<Self> {
        match code {
            1 => Ok(Self::Text),
            8 => Ok(Self::Close),
            9 => Ok(Self::Ping),
            10 => Ok(Self::Pong),
            _ => Err(Error::wrong(format!("a frame with opcode {code}"))),
        }
    }
}

/// A frame's place in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub opcode: Opcode,
    /// Where its payload begins.
    pub start: usize,
    /// Where the frame ends.
    pub end: usize,
    /// How its payload is masked; servers do not mask.
    pub mask: Option<[u8; 4]>,
}

/// Finds the first frame of `buffer`, if the buffer holds all of it.
///
/// # Errors
/// A frame that is a fragment or has an unknown opcode: no server here sends such frames.
pub fn next(buffer: &[u8]) -> Result<Option<Frame>> {
    let [first, second, ..] = *buffer else { return Ok(None) };
    if first & 0xf0 != 0x80 {
        return Err(Error::wrong(format!("a fragmented or compressed frame, {first:#04x}")));
    }
    let opcode = Opcode::parse(first & 0x0f)?;
    let mut start = 2;
    let length = match second & 0x7f {
        MEDIUM => {
            start = 4;
            let Some(bytes) = buffer.get(2..4) else { return Ok(None) };
            usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))
        }
        LONG => {
            start = 10;
            let Some(bytes) = buffer.get(2..10) else { return Ok(None) };
            let length = bytes.iter().fold(0_u64, |length, byte| length << 8 | u64::from(*byte));
            usize::try_from(length).map_err(|_| Error::wrong("a frame larger than memory"))?
        }
        length => usize::from(length),
    };
    let mut mask = None;
    if second & 0x80 != 0 {
        let Some(bytes) = buffer.get(start..start + 4) else { return Ok(None) };
        mask = Some([bytes[0], bytes[1], bytes[2], bytes[3]]);
        start += 4;
    }
    let Some(end) = start.checked_add(length).filter(|end| *end <= buffer.len()) else {
        return Ok(None);
    };
    Ok(Some(Frame { opcode, start, end, mask }))
}

/// Appends a frame as a server sends it.
pub fn append(output: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    head(output, opcode, payload.len(), 0);
    output.extend_from_slice(payload);
}

/// Appends a frame as a client sends it, masked.
pub fn append_masked(output: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    head(output, opcode, payload.len(), 0x80);
    let mask = fastrand::u32(..).to_ne_bytes();
    output.extend_from_slice(&mask);
    let start = output.len();
    output.extend_from_slice(payload);
    apply_mask(&mut output[start..], mask);
}

/// Masks or unmasks a payload.
pub fn apply_mask(payload: &mut [u8], mask: [u8; 4]) {
    let (words, rest) = payload.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

fn head(output: &mut Vec<u8>, opcode: Opcode, length: usize, mask_bit: u8) {
    output.push(0x80 | opcode.code());
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..126), _) => output.push(mask_bit | short),
        (_, Ok(medium)) => {
            output.push(mask_bit | MEDIUM);
            output.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            output.push(mask_bit | LONG);
            output.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_every_length_class_come_back_as_they_were() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536] {
            let payload: Vec<u8> = (0..=u8::MAX).cycle().take(length).collect();
            let mut buffer = Vec::new();
            append(&mut buffer, Opcode::Text, &payload);
            append_masked(&mut buffer, Opcode::Ping, &payload);
            let first = next(&buffer).unwrap().unwrap();
            assert_eq!((first.opcode, first.mask), (Opcode::Text, None));
            assert_eq!(&buffer[first.start..first.end], payload);
            let mut rest = buffer[first.end..].to_vec();
            let second = next(&rest).unwrap().unwrap();
            assert_eq!((second.opcode, second.end), (Opcode::Ping, rest.len()));
            apply_mask(&mut rest[second.start..], second.mask.unwrap());
            assert_eq!(&rest[second.start..], payload);
        }
    }

    #[test]
    fn a_frame_that_is_not_whole_is_waited_for() {
        let mut buffer = Vec::new();
        append(&mut buffer, Opcode::Text, &[b'x'; 300]);
        for length in 0..buffer.len() {
            assert_eq!(next(&buffer[..length]).unwrap(), None);
        }
    }

    #[test]
    fn a_fragment_is_refused() {
        assert!(next(&[0x01, 0x00]).is_err());
        assert!(next(&[0xc1, 0x00]).is_err());
    }
}
