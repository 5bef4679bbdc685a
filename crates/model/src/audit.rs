//! What is told of who did what: events that security cares about, and the seam through which every room tells them.
//!
//! Not here: where they are kept. The server keeps them as log lines of its own tenant.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

/// What happened. The names are stable: queries and alerts look for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// A connection was not taken: the client certificate is missing, foreign, revoked or has ended.
    ConnectionRefused,
    /// A request was refused by the gateway.
    RequestRefused,
    /// A request to the Authority was refused.
    TokenRefused,
    /// A token was issued.
    TokenIssued,
    /// A token was taken back.
    TokenRevoked,
    /// A client of the Authority was made.
    ClientCreated,
    /// A client of the Authority was changed.
    ClientUpdated,
    /// A client of the Authority was deleted.
    ClientDeleted,
    /// A new signing key was made, and the one before is retired.
    KeyRotated,
    /// A signing key was retired.
    KeyRetired,
    /// A delete of telemetry was asked for.
    DeleteRequested,
    /// A delete of telemetry was taken back.
    DeleteCancelled,
    /// The limits or retention of tenants changed.
    OverridesChanged,
    /// What was due of retention was done on request.
    RetentionRun,
    /// Segments were rewritten on request without what was deleted.
    TombstonesCleaned,
    /// A hold was placed: what it names is not deleted.
    HoldPlaced,
    /// A hold was released.
    HoldReleased,
    /// Incident mode began.
    IncidentStarted,
    /// Incident mode ended.
    IncidentEnded,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::ConnectionRefused,
        Self::RequestRefused,
        Self::TokenRefused,
        Self::TokenIssued,
        Self::TokenRevoked,
        Self::ClientCreated,
        Self::ClientUpdated,
        Self::ClientDeleted,
        Self::KeyRotated,
        Self::KeyRetired,
        Self::DeleteRequested,
        Self::DeleteCancelled,
        Self::OverridesChanged,
        Self::RetentionRun,
        Self::TombstonesCleaned,
        Self::HoldPlaced,
        Self::HoldReleased,
        Self::IncidentStarted,
        Self::IncidentEnded,
    ];

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConnectionRefused => "connection.refused",
            Self::RequestRefused => "request.refused",
            Self::TokenRefused => "token.refused",
            Self::TokenIssued => "token.issued",
            Self::TokenRevoked => "token.revoked",
            Self::ClientCreated => "client.created",
            Self::ClientUpdated => "client.updated",
            Self::ClientDeleted => "client.deleted",
            Self::KeyRotated => "key.rotated",
            Self::KeyRetired => "key.retired",
            Self::DeleteRequested => "delete.requested",
            Self::DeleteCancelled => "delete.cancelled",
            Self::OverridesChanged => "overrides.changed",
            Self::RetentionRun => "retention.run",
            Self::TombstonesCleaned => "tombstones.cleaned",
            Self::HoldPlaced => "hold.placed",
            Self::HoldReleased => "hold.released",
            Self::IncidentStarted => "incident.started",
            Self::IncidentEnded => "incident.ended",
        }
    }

    /// The action of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == name)
    }

    /// Whether somebody was refused: such events may come as often as an attacker likes, and are summarised.
    #[must_use]
    pub const fn is_refusal(self) -> bool {
        matches!(self, Self::ConnectionRefused | Self::RequestRefused | Self::TokenRefused)
    }
}

/// One event. Texts may come from a request: whoever keeps them bounds their length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub action: Action,
    /// Who did it, as far as that was proven: a client, a certificate, an operator; empty where nobody was proven.
    pub actor: String,
    /// The network address that it came from; empty where it came from the server or a command.
    pub source: String,
    /// The tenant that it concerns; empty where it concerns none.
    pub tenant: String,
    /// What it was done to: a client's name, a token's identifier, a selector, a path.
    pub subject: String,
    /// The stable code of a refusal; empty where nothing was refused.
    pub code: String,
    /// Everything else, in the order in which it is to be read.
    pub fields: Vec<(Cow<'static, str>, String)>,
}

impl Event {
    /// An event of which nothing else is known yet.
    #[must_use]
    pub const fn new(action: Action) -> Self {
        Self {
            action,
            actor: String::new(),
            source: String::new(),
            tenant: String::new(),
            subject: String::new(),
            code: String::new(),
            fields: Vec::new(),
        }
    }

    /// Says who did it.
    #[must_use]
    pub fn by(mut self, actor: impl Into<String>) -> Self {
        self.actor = actor.into();
        self
    }

    /// Says where it came from.
    #[must_use]
    pub fn from(mut self, source: impl Into<String>) -> Self {
        self.source = source.into();
        self
    }

    /// Says which tenant it concerns.
    #[must_use]
    pub fn of_tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = tenant.into();
        self
    }

    /// Says what it was done to.
    #[must_use]
    pub fn on(mut self, subject: impl Into<String>) -> Self {
        self.subject = subject.into();
        self
    }

    /// Says with which code it was refused.
    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = code.into();
        self
    }

    /// Says something more.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((Cow::Borrowed(name), value.into()));
        self
    }
}

/// Takes an event. It never waits.
pub type Record = Arc<dyn Fn(Event) + Send + Sync>;

/// Waits until what was told is kept, or for as long as whoever keeps it thinks right.
pub type Settle = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// Where events are told. Cheap to clone; the default one keeps nothing.
#[derive(Clone, Default)]
pub struct Audit {
    record: Option<Record>,
    settle: Option<Settle>,
}

impl Audit {
    /// Tells events to this.
    #[must_use]
    pub fn new(record: Record) -> Self {
        Self { record: Some(record), settle: None }
    }

    /// The same, where one can wait for events to be kept.
    #[must_use]
    pub fn settling(mut self, settle: Settle) -> Self {
        self.settle = Some(settle);
        self
    }

    /// Tells an event. It never waits and never fails: what cannot be kept is counted where it should have been.
    pub fn record(&self, event: Event) {
        if let Some(record) = &self.record {
            record(event);
        }
    }

    /// Waits until what was told so far is kept, and not for long where that cannot be: for those that answer who changed
    /// something, so that no change is answered and then forgotten by the audit.
    pub async fn settled(&self) {
        if let Some(settle) = &self.settle {
            settle().await;
        }
    }
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Audit").field(&self.record.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_has_a_name_of_its_own_that_leads_back_to_it() {
        for action in Action::ALL {
            assert_eq!(Action::parse(action.as_str()), Some(action));
        }
        assert_eq!(Action::parse("nothing"), None);
    }

    #[test]
    fn an_event_reaches_whoever_keeps_it_and_the_default_keeps_nothing() {
        let kept = Arc::new(std::sync::Mutex::new(Vec::new()));
        let keeper = Arc::clone(&kept);
        let audit = Audit::new(Arc::new(move |event| keeper.lock().unwrap().push(event)));
        let event =
            Event::new(Action::HoldPlaced).by("ann").of_tenant("acme").on("{app=\"x\"}").with("id", "1");
        audit.record(event.clone());
        Audit::default().record(event.clone());
        assert_eq!(*kept.lock().unwrap(), [event]);
    }
}
