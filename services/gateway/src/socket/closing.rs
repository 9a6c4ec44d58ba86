//! Why a socket ends, as close code and reason.

/// Why a socket ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    /// 1001: this gateway is draining.
    Draining,
    /// 1000: the client said goodbye.
    Goodbye,
    /// 1007: a text frame is not UTF-8 (RFC 6455, 8.1).
    InvalidText,
    /// 1002: the client broke the WebSocket protocol.
    ProtocolError,
    /// 1008: no subscription succeeded in time.
    Unauthorized,
    /// 1008: the token has ended.
    TokenExpired,
    /// 1008: too many frames were refused.
    Refused,
    /// 1009: a message is larger than allowed.
    TooLarge,
    /// 1013: no room for another socket.
    Overloaded,
    /// 4000: the client reads too slowly.
    TooSlow,
    /// 4001: the member was removed from a channel, the channel is gone, or the account is suspended; see
    /// [`Outbox::put_out`](super::outbox::Outbox::put_out).
    Removed,
}

impl Closing {
    pub(crate) const fn code(self) -> u16 {
        match self {
            Self::Goodbye => 1000,
            Self::Draining => 1001,
            Self::ProtocolError => 1002,
            Self::InvalidText => 1007,
            Self::Unauthorized | Self::TokenExpired | Self::Refused => 1008,
            Self::TooLarge => 1009,
            Self::Overloaded => 1013,
            Self::TooSlow => 4000,
            Self::Removed => 4001,
        }
    }

    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Goodbye | Self::Removed => "",
            Self::Draining => "draining: connect again",
            Self::ProtocolError => "WebSocket protocol error",
            Self::InvalidText => "text is not UTF-8",
            Self::Unauthorized => "not authorised in time",
            Self::TokenExpired => "token expired",
            Self::Refused => "too many frames were refused",
            Self::TooLarge => "message too large",
            Self::Overloaded => "overloaded",
            Self::TooSlow => "too slow: connect again and resume",
        }
    }
}
