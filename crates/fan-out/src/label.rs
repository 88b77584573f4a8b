//! A call's name, method and count of attempts, as the report shows them.

use std::borrow::Cow;

use crate::attempts::Attempts;

#[derive(Clone, Debug)]
pub(crate) struct Label {
    pub(crate) name: Cow<'static, str>,
    pub(crate) method: Cow<'static, str>,
    pub(crate) attempts: Option<Attempts>,
}

// === impl Label ===

impl Label {
    pub(crate) fn new(name: Cow<'static, str>) -> Self {
        Self { name, method: Cow::Borrowed(""), attempts: None }
    }
}
