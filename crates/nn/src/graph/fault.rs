//! Why a node can't be run.

/// Why a node can't be run on what reaches it; the recording adds which node.
#[derive(Debug)]
pub(crate) struct Fault(pub String);

impl From<String> for Fault {
    fn from(reason: String) -> Self {
        Fault(reason)
    }
}

impl From<&str> for Fault {
    fn from(reason: &str) -> Self {
        Fault(reason.into())
    }
}

impl From<vivit_tensor::Error> for Fault {
    fn from(error: vivit_tensor::Error) -> Self {
        Fault(error.to_string())
    }
}

/// Returns the fault that `format!` words.
macro_rules! fault {
    ($($words:tt)*) => {
        return Err($crate::graph::fault::Fault(format!($($words)*)))
    };
}

/// Returns the fault that `format!` words unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($words:tt)*) => {
        if $condition {
        } else {
            $crate::graph::fault::fault!($($words)*)
        }
    };
}

pub(crate) use {ensure, fault};
