//! The room of recording rules, alerting rules, service level objectives and notification. It holds no code yet.
