//! An error as AWS tells it to a client: a code of the service model, a status and a message. How it is
//! written into a body is for the wire.

use std::fmt;

/// What an operation gives back.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// An error that the client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    code: ErrorCode,
    message: String,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal;)+) => {
        /// The codes of the service, and those that stand before it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $name,)+
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The name by which SDKs know it: `__type` of the body.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The HTTP status.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)+ }
            }
        }
    };
}

codes! {
    /// The caller may not do that.
    AccessDenied = "AccessDeniedException", 400;
    /// The request would have been answered, had it not asked for a trial.
    DryRunOperation = "DryRunOperationException", 400;
    /// A token of a page has expired.
    ExpiredNextToken = "ExpiredNextTokenException", 400;
    /// An iterator is older than five minutes.
    ExpiredIterator = "ExpiredIteratorException", 400;
    /// The session of the credentials is over.
    ExpiredToken = "ExpiredTokenException", 400;
    /// The signature lacks a part.
    IncompleteSignature = "IncompleteSignatureException", 400;
    /// The fault is the service's; retry.
    InternalFailure = "InternalFailure", 500;
    /// A value that cannot be, in itself or for what it is about.
    InvalidArgument = "InvalidArgumentException", 400;
    /// The signature is not that of the request.
    InvalidSignature = "InvalidSignatureException", 400;
    /// A quota, or a rate of the control plane.
    LimitExceeded = "LimitExceededException", 400;
    /// The request has no signature.
    MissingAuthenticationToken = "MissingAuthenticationTokenException", 400;
    /// The shard's or the stream's throughput is used up; retry.
    ProvisionedThroughputExceeded = "ProvisionedThroughputExceededException", 400;
    /// The stream, consumer or policy is not in a state that allows it.
    ResourceInUse = "ResourceInUseException", 400;
    /// No such stream, shard or consumer.
    ResourceNotFound = "ResourceNotFoundException", 400;
    /// The body cannot be read as a request.
    Serialization = "SerializationException", 400;
    /// The service cannot answer now; retry.
    ServiceUnavailable = "ServiceUnavailable", 503;
    /// `X-Amz-Target` names no operation.
    UnknownOperation = "UnknownOperationException", 400;
    /// The access key is not known.
    UnrecognizedClient = "UnrecognizedClientException", 400;
    /// Members break constraints of the model, or of each other.
    Validation = "ValidationException", 400;
}

impl Error {
    /// An error of `code` that says `message`, in AWS's words.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Its code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// What it says; empty where AWS says nothing.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.code.status()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.message)
    }
}

impl std::error::Error for Error {}

impl Error {
    /// A fault of the service, of which the client learns no more; what it was is logged here.
    pub fn internal(cause: impl fmt::Display) -> Self {
        tracing::error!(%cause, "a request could not be served");
        Self::new(ErrorCode::InternalFailure, "Internal service error")
    }
}

impl From<pelton_streams::Error> for Error {
    fn from(error: pelton_streams::Error) -> Self {
        use pelton_streams::Error as Log;
        match error {
            Log::UnknownStream { .. } | Log::StreamGone { .. } | Log::UnknownShard { .. } => {
                Self::new(ErrorCode::ResourceNotFound, error.to_string())
            }
            Log::Locked { .. } => Self::new(ErrorCode::ResourceInUse, error.to_string()),
            Log::InvalidName { .. } | Log::InvalidArgument(_) => {
                Self::new(ErrorCode::InvalidArgument, error.to_string())
            }
            error => Self::internal(error),
        }
    }
}

impl From<crate::catalog::CatalogError> for Error {
    fn from(error: crate::catalog::CatalogError) -> Self {
        Self::internal(error)
    }
}
