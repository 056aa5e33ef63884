//! The frames that a peer sends (RFC 6455 section 5), taken apart as they come.

use std::fmt;

/// Takes the payload out of a client's frames, in place and in any pieces, and holds none of it; or out of
/// a server's ([`FrameDecoder::of_server`]).
///
/// Of a control frame it keeps what must be answered; everything else of a message passes through, so
/// neither a frame nor a message of any size takes memory here. What a peer must not send ends it.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    /// The peer is a server, whose frames have no mask.
    bare: bool,
    /// The start of a frame whose head has not arrived whole.
    head: [u8; HEAD_MAX],
    head_len: usize,
    frame: Option<Frame>,
    /// Bytes of the message so far, while its last frame is still to come.
    message: Option<u64>,
    /// What the control frame that is under way holds so far.
    control: Vec<u8>,
    ping: Option<Vec<u8>>,
    end: Option<End>,
}

/// A frame whose payload is arriving.
#[derive(Debug)]
struct Frame {
    kind: Kind,
    left: u64,
    mask: [u8; 4],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Data,
    Close,
    Ping,
    Pong,
}

/// Why a peer sends no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It has closed, with this status code if any.
    Closed(Option<u16>),
    /// It has broken the protocol.
    Fault(FrameFault),
}

/// What a peer must not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameFault {
    /// A reserved bit is set, and no extension was agreed on.
    ReservedBits,
    /// The kind of frame is none that RFC 6455 has.
    UnknownKind(u8),
    /// A frame of a client is not masked.
    Unmasked,
    /// A frame of a server is masked.
    Masked,
    /// Text, where only binary frames mean something.
    Text,
    /// A control frame is fragmented or longer than 125 bytes.
    Control,
    /// A continuation without a beginning, or a beginning within a message.
    OutOfTurn,
    /// A length is written with more bytes than it needs, or has the highest bit.
    Length,
    /// A frame, or a message of several, has more than 256 MiB and 5 bytes.
    TooLong,
    /// A close frame says a status code that nobody may send.
    CloseCode,
}

/// The most that one message may hold, in bytes: more than any client puts into one, whatever is spoken
/// inside.
pub(crate) const MESSAGE_MAX: u64 = 256 * 1024 * 1024 + 5;

/// The most that a control frame may hold, in bytes.
pub(crate) const CONTROL_MAX: usize = 125;

/// Bytes of a frame's head at most: two, a length of eight, a mask.
const HEAD_MAX: usize = 14;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

impl FrameDecoder {
    /// Of what a server sends.
    #[must_use]
    pub fn of_server() -> Self {
        Self { bare: true, ..Self::default() }
    }

    /// Takes what has arrived, moves the payload among it to the front, and says how long that is.
    ///
    /// Nothing is taken any more once there is an [`FrameDecoder::end`].
    pub fn decode(&mut self, bytes: &mut [u8]) -> usize {
        let (mut at, mut kept) = (0, 0);
        while at < bytes.len() && self.end.is_none() {
            let Some(frame) = &mut self.frame else {
                let Some(byte) = bytes.get(at) else { break };
                at += 1;
                self.take_head(*byte);
                continue;
            };
            let rest = u64::try_from(bytes.len() - at).unwrap_or(u64::MAX);
            // No more than `rest`, which is a length in memory.
            let piece = usize::try_from(frame.left.min(rest)).unwrap_or_default();
            match frame.kind {
                Kind::Data => {
                    bytes.copy_within(at..at + piece, kept);
                    frame.unmask(bytes.get_mut(kept..kept + piece).unwrap_or_default());
                    kept += piece;
                }
                Kind::Close | Kind::Ping | Kind::Pong => {
                    let payload = bytes.get_mut(at..at + piece).unwrap_or_default();
                    frame.unmask(payload);
                    self.control.extend_from_slice(payload);
                }
            }
            at += piece;
            self.finish_frame();
        }
        kept
    }

    /// What the last ping holds that was not answered yet; only the latest needs to be.
    pub fn take_ping(&mut self) -> Option<Vec<u8>> {
        self.ping.take()
    }

    /// Why the client sends no more, if so.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        self.end
    }

    fn take_head(&mut self, byte: u8) {
        if let Some(place) = self.head.get_mut(self.head_len) {
            *place = byte;
        }
        self.head_len += 1;
        // What is wrong with the first two bytes is said at once: the rest might never come.
        let checked = match self.head_len {
            1 => self.check_kind(byte),
            2 => self.check_length(byte),
            _ => Ok(()),
        };
        let opened = checked.and_then(|()| self.open_frame());
        if let Err(fault) = opened {
            self.end = Some(End::Fault(fault));
        }
        self.finish_frame();
    }

    fn check_kind(&self, first: u8) -> Result<(), FrameFault> {
        if first & RESERVED != 0 {
            return Err(FrameFault::ReservedBits);
        }
        match (first & 0x0F, self.message.is_some()) {
            (0x0, true) | (0x2, false) => Ok(()),
            (0x0, false) | (0x2, true) => Err(FrameFault::OutOfTurn),
            (0x1, _) => Err(FrameFault::Text),
            (0x8..=0xA, _) if first & FIN == 0 => Err(FrameFault::Control),
            (0x8..=0xA, _) => Ok(()),
            (other, _) => Err(FrameFault::UnknownKind(other)),
        }
    }

    fn check_length(&self, second: u8) -> Result<(), FrameFault> {
        match (second & MASKED == 0, self.bare) {
            (true, false) => return Err(FrameFault::Unmasked),
            (false, true) => return Err(FrameFault::Masked),
            _ => {}
        }
        let is_control = self.head.first().is_some_and(|first| first & 0x08 != 0);
        if is_control && usize::from(second & !MASKED) > CONTROL_MAX {
            return Err(FrameFault::Control);
        }
        Ok(())
    }

    /// Begins the payload if the head is whole.
    fn open_frame(&mut self) -> Result<(), FrameFault> {
        let [first, second, rest @ ..] = self.head;
        let short = second & !MASKED;
        let length_bytes = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask_bytes = if self.bare { 0 } else { 4 };
        if self.head_len < 2 + length_bytes + mask_bytes {
            return Ok(());
        }
        let (length, mask) = rest.split_at(length_bytes);
        let left = match length_bytes {
            0 => u64::from(short),
            _ => length.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        };
        let least = [(2, 126), (8, 1 << 16)];
        if left >> 63 != 0 || least.iter().any(|(size, min)| length_bytes == *size && left < *min) {
            return Err(FrameFault::Length);
        }
        let kind = match first & 0x0F {
            0x8 => Kind::Close,
            0x9 => Kind::Ping,
            0xA => Kind::Pong,
            _ => {
                let last = first & FIN != 0;
                let message = self.message.unwrap_or(0).saturating_add(left);
                if message > MESSAGE_MAX {
                    return Err(FrameFault::TooLong);
                }
                self.message = (!last).then_some(message);
                Kind::Data
            }
        };
        let mut key = [0; 4];
        key.iter_mut().zip(mask.iter().take(mask_bytes)).for_each(|(to, from)| *to = *from);
        self.head_len = 0;
        self.frame = Some(Frame { kind, left, mask: key });
        Ok(())
    }

    /// Acts on the frame if all of it has been seen.
    fn finish_frame(&mut self) {
        let Some(frame) = self.frame.take_if(|frame| frame.left == 0) else { return };
        match frame.kind {
            Kind::Data => return,
            Kind::Pong => {}
            Kind::Ping => self.ping = Some(std::mem::take(&mut self.control)),
            Kind::Close => self.end = Some(close(&self.control)),
        }
        self.control = Vec::new();
    }
}

impl Frame {
    /// Unmasks the next bytes of the payload.
    fn unmask(&mut self, bytes: &mut [u8]) {
        let [a, b, c, d] = self.mask;
        let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
        let mut chunks = bytes.chunks_exact_mut(8);
        for chunk in &mut chunks {
            if let Ok(eight) = <[u8; 8]>::try_from(&*chunk) {
                chunk.copy_from_slice(&(u64::from_ne_bytes(eight) ^ wide).to_ne_bytes());
            }
        }
        let key = self.mask.iter().cycle();
        chunks.into_remainder().iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        self.mask.rotate_left(bytes.len() % 4);
        self.left = self.left.saturating_sub(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    }
}

/// What a close frame with this payload means.
fn close(payload: &[u8]) -> End {
    match payload {
        [] => End::Closed(None),
        [high, low, ..] => match u16::from_be_bytes([*high, *low]) {
            code @ (1000..=1003 | 1007..=1014 | 3000..=4999) => End::Closed(Some(code)),
            _ => End::Fault(FrameFault::CloseCode),
        },
        [_] => End::Fault(FrameFault::CloseCode),
    }
}

impl FrameFault {
    /// The status code that it is answered with (RFC 6455 section 7.4.1).
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::Text => 1003,
            Self::TooLong => 1009,
            _ => 1002,
        }
    }
}

impl fmt::Display for FrameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedBits => {
                f.write_str("a frame has reserved bits set; no extension was agreed on")
            }
            Self::UnknownKind(kind) => write!(f, "a frame is of the unknown kind {kind:#x}"),
            Self::Unmasked => f.write_str("a frame is not masked; every client must"),
            Self::Masked => f.write_str("a frame is masked; no server may do that"),
            Self::Text => {
                f.write_str("a text frame was sent; what is spoken here goes in binary frames")
            }
            Self::Control => {
                write!(f, "a control frame is fragmented or has more than {CONTROL_MAX} bytes")
            }
            Self::OutOfTurn => {
                f.write_str("a fragment continues no message, or a message begins within another")
            }
            Self::Length => f.write_str("a length is not written with the fewest bytes"),
            Self::TooLong => write!(f, "a message has more than {MESSAGE_MAX} bytes"),
            Self::CloseCode => f.write_str("a close frame says a status code that nobody may send"),
        }
    }
}

impl std::error::Error for FrameFault {}
