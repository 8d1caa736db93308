//! Labels of the server's metrics, as the reference spells them.

/// One direction of one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    /// kube-apiserver → us.
    FromClient,
    /// Us → kube-apiserver.
    ToClient,
    /// Agent → us.
    FromAgent,
    /// Us → agent.
    ToAgent,
}

impl Segment {
    pub(super) const ALL: [Self; 4] = [
        Self::FromClient,
        Self::ToClient,
        Self::FromAgent,
        Self::ToAgent,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::FromClient => "from_client",
            Self::ToClient => "to_client",
            Self::FromAgent => "from_agent",
            Self::ToAgent => "to_agent",
        }
    }
}

/// The packets by their wire names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PacketKind {
    DialReq,
    DialRsp,
    CloseReq,
    CloseRsp,
    Data,
    DialCls,
    Drain,
}

impl PacketKind {
    pub(super) const ALL: [Self; 7] = [
        Self::DialReq,
        Self::DialRsp,
        Self::CloseReq,
        Self::CloseRsp,
        Self::Data,
        Self::DialCls,
        Self::Drain,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::DialReq => "DIAL_REQ",
            Self::DialRsp => "DIAL_RSP",
            Self::CloseReq => "CLOSE_REQ",
            Self::CloseRsp => "CLOSE_RSP",
            Self::Data => "DATA",
            Self::DialCls => "DIAL_CLS",
            Self::Drain => "DRAIN",
        }
    }
}

/// Why a dial did not become a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DialFailureReason {
    NoAgent,
    ErrorResponse,
    UnrecognizedResponse,
    SendRsp,
    BackendClose,
    BackendDialTimeout,
    FrontendClose,
    /// Not in the reference, which lets any number wait.
    TooManyPending,
}

impl DialFailureReason {
    pub(super) const ALL: [Self; 8] = [
        Self::NoAgent,
        Self::ErrorResponse,
        Self::UnrecognizedResponse,
        Self::SendRsp,
        Self::BackendClose,
        Self::BackendDialTimeout,
        Self::FrontendClose,
        Self::TooManyPending,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::NoAgent => "no_agent",
            Self::ErrorResponse => "error_response",
            Self::UnrecognizedResponse => "unrecognized_response",
            Self::SendRsp => "send_rsp",
            Self::BackendClose => "backend_close",
            Self::BackendDialTimeout => "backend_dial_timeout",
            Self::FrontendClose => "frontend_close",
            Self::TooManyPending => "too_many_pending",
        }
    }
}
