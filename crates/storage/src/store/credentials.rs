//! What says who we are to a store of others, from files: AWS' credentials file and Azure's connection strings. Google's
//! JSON is read by its client. No error names a secret.

use std::path::Path as FilePath;

use object_store::aws::AwsCredential;

use crate::bounds::MAX_CREDENTIALS_BYTES;
use crate::error::StorageError;

/// A small text file.
///
/// # Errors
/// When it cannot be read or is no text of a sensible size.
pub(super) fn read(path: &FilePath) -> Result<String, StorageError> {
    let text = std::fs::read_to_string(path).map_err(|e| StorageError::io("read credentials", path, e))?;
    if text.len() > MAX_CREDENTIALS_BYTES {
        return Err(StorageError::Settings(format!(
            "the credentials file is too large: path=`{}`",
            path.display()
        )));
    }
    Ok(text)
}

/// The section of a credentials file as AWS' tools write it.
///
/// # Errors
/// When the section or one of its two keys is missing.
pub(super) fn aws(text: &str, profile: &str, path: &FilePath) -> Result<AwsCredential, StorageError> {
    let mut is_ours = false;
    let (mut key_id, mut secret_key, mut token) = (None, None, None);
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            is_ours = section.trim() == profile;
        } else if let Some((name, value)) = line.split_once('=').filter(|_| is_ours) {
            let slot = match name.trim() {
                "aws_access_key_id" => &mut key_id,
                "aws_secret_access_key" => &mut secret_key,
                "aws_session_token" => &mut token,
                _ => continue,
            };
            *slot = Some(value.trim().to_owned());
        }
    }
    match (key_id, secret_key) {
        (Some(key_id), Some(secret_key)) => Ok(AwsCredential { key_id, secret_key, token }),
        _ => Err(StorageError::Settings(format!(
            "the credentials file has no section [{profile}] with aws_access_key_id and aws_secret_access_key: \
             path=`{}`",
            path.display()
        ))),
    }
}

/// What a connection string of Azure says.
#[derive(Default)]
pub(super) struct Connection {
    pub(super) account: Option<String>,
    pub(super) key: Option<String>,
    pub(super) signature: Option<String>,
    pub(super) endpoint: Option<String>,
}

impl Connection {
    /// Reads `Name=value;Name=value`.
    pub(super) fn parse(text: &str) -> Self {
        let mut connection = Connection::default();
        let (mut suffix, mut protocol) = (None, "https".to_owned());
        for (name, value) in text.trim().split(';').filter_map(|pair| pair.split_once('=')) {
            let value = value.trim().to_owned();
            match name.trim() {
                "AccountName" => connection.account = Some(value),
                "AccountKey" => connection.key = Some(value),
                "SharedAccessSignature" => connection.signature = Some(value),
                "BlobEndpoint" => connection.endpoint = Some(value),
                "EndpointSuffix" => suffix = Some(value),
                "DefaultEndpointsProtocol" => protocol = value,
                _ => {}
            }
        }
        if let (None, Some(account), Some(suffix)) = (&connection.endpoint, &connection.account, suffix) {
            connection.endpoint = Some(format!("{protocol}://{account}.blob.{suffix}"));
        }
        connection
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_of_a_credentials_file_is_read() {
        let text = "# keys\n[default]\naws_access_key_id = A\naws_secret_access_key=s/=\n\n[ci]\n\
                    aws_secret_access_key = t\nregion = x\naws_access_key_id = B\naws_session_token = u\n";
        let path = FilePath::new("credentials");
        let keys = |profile| aws(text, profile, path).map(|c| (c.key_id, c.secret_key, c.token));
        assert_eq!(keys("default").unwrap(), ("A".to_owned(), "s/=".to_owned(), None));
        assert_eq!(keys("ci").unwrap(), ("B".to_owned(), "t".to_owned(), Some("u".to_owned())));
        let error = keys("absent").unwrap_err().to_string();
        assert!(error.contains("[absent]") && !error.contains("s/="), "{error}");
    }

    #[test]
    fn a_connection_string_is_read() {
        let connection = Connection::parse(
            "DefaultEndpointsProtocol=http;AccountName=acme;AccountKey=a2V5==;EndpointSuffix=core.example\n",
        );
        assert_eq!(connection.account.as_deref(), Some("acme"));
        assert_eq!(connection.key.as_deref(), Some("a2V5=="));
        assert_eq!(connection.endpoint.as_deref(), Some("http://acme.blob.core.example"));
        let connection = Connection::parse("BlobEndpoint=http://h/a;SharedAccessSignature=sv=1&sig=x;");
        assert_eq!(connection.endpoint.as_deref(), Some("http://h/a"));
        assert_eq!(connection.signature.as_deref(), Some("sv=1&sig=x"));
    }
}
