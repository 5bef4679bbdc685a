//! Which tenant a resource belongs to, and one builder per tenant of a request.

use std::borrow::Cow;

use hashbrown::HashMap;
use model::ingest::{Batch, Reason, Receipt};
use model::tenant::{Access, Refusal, TenantContext};
use wire::WireError;
use wire::otlp::ResourceView;
use wire::otlp::resource::Resource;

use super::attributes::text;
use crate::bounds::MAX_TENANTS_PER_REQUEST;

/// Resource attributes that name a tenant, the first that is there wins.
const TENANT_ATTRIBUTES: [&str; 3] = ["tenant.id", "tenant", "tenant_id"];

/// What a request became: a batch per tenant, and what could not be mapped.
#[derive(Debug, Default)]
pub(crate) struct Mapped {
    /// What to write, and for whom.
    pub(crate) batches: Vec<(TenantContext, Batch)>,
    /// Items that were rejected before the store saw them.
    pub(crate) receipt: Receipt,
    /// The first refusal of a tenant.
    pub(crate) refusal: Option<Refusal>,
    /// Items of the request as its protocol counts them.
    pub(crate) items: usize,
}

/// The tenant that a resource names; a number is the text of its digits.
pub(crate) fn named(resource: Option<&Resource>) -> Option<Cow<'_, str>> {
    let attributes = &resource?.attributes;
    let value = |key: &&str| attributes.iter().find(|pair| pair.key == **key)?.value.as_ref();
    TENANT_ATTRIBUTES.iter().find_map(value).map(|value| text(Some(value)))
}

/// How many records or spans a resource sent.
///
/// # Errors
/// When the bytes are no such message.
pub(crate) fn items(resource: ResourceView<'_>) -> Result<usize, WireError> {
    let mut items = 0;
    for scope in resource.scopes() {
        for item in scope?.items() {
            item?;
            items += 1;
        }
    }
    Ok(items)
}

/// A builder per tenant that the resources of one request belong to.
pub(crate) struct Tenants<'a, B> {
    access: &'a Access,
    by_name: HashMap<Option<String>, Result<usize, String>>,
    by_tenant: HashMap<String, usize>,
    builders: Vec<(TenantContext, B)>,
    receipt: Receipt,
    refusal: Option<Refusal>,
}

impl<'a, B: Default> Tenants<'a, B> {
    pub(crate) fn new(access: &'a Access) -> Self {
        Self {
            access,
            by_name: HashMap::new(),
            by_tenant: HashMap::new(),
            builders: Vec::new(),
            receipt: Receipt::default(),
            refusal: None,
        }
    }

    /// The context and the builder of a resource's tenant, and the receipt of the request; none when the tenant
    /// is refused, and then the resource's items are counted as rejected.
    pub(crate) fn of(
        &mut self,
        resource: Option<&Resource>,
        items: impl FnOnce() -> usize,
    ) -> Option<(&TenantContext, &mut B, &mut Receipt)> {
        let name = named(resource).map(Cow::into_owned);
        let known = self.by_name.get(&name).cloned();
        let index = match known {
            Some(index) => index,
            None => {
                let index = self.admit(name.as_deref());
                self.by_name.insert(name, index.clone());
                index
            }
        };
        match index {
            Ok(index) => {
                let (context, builder) = &mut self.builders[index];
                Some((context, builder, &mut self.receipt))
            }
            Err(why) => {
                self.receipt.reject(Reason::Tenant, items(), || why);
                None
            }
        }
    }

    fn admit(&mut self, name: Option<&str>) -> Result<usize, String> {
        let context = self.access.context(name).map_err(|refusal| {
            let why = refusal.to_string();
            self.refusal.get_or_insert(refusal);
            why
        })?;
        if let Some(index) = self.by_tenant.get(context.tenant().as_str()) {
            return Ok(*index);
        }
        let index = self.builders.len();
        if index == MAX_TENANTS_PER_REQUEST {
            return Err(format!(
                "one request may carry `{MAX_TENANTS_PER_REQUEST}` tenants, send the others in another"
            ));
        }
        self.by_tenant.insert(context.tenant().as_str().to_owned(), index);
        self.builders.push((context, B::default()));
        Ok(index)
    }

    /// The batches; those without items are left out.
    pub(crate) fn finish(self, items: usize, mut build: impl FnMut(B) -> Batch) -> Mapped {
        let batches = self.builders.into_iter().map(|(context, builder)| (context, build(builder)));
        Mapped {
            batches: batches.filter(|(_, batch)| batch.items() > 0).collect(),
            receipt: self.receipt,
            refusal: self.refusal,
            items,
        }
    }
}
