//! What names in a query may lead to: the three tables of one tenant, and nothing that could be added to them.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, Session, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use model::{TenantContext, TimeRange};
use storage::Storage;

use super::predicates::Wanted;
use super::scan::{ScanExec, Source};
use super::sources;
use super::tables::{Columns, TableName};
use crate::engine::Running;
use crate::error::QueryError;

/// The catalog's name.
pub(crate) const CATALOG: &str = "stella";
/// The schema's name.
pub(crate) const SCHEMA: &str = "public";

/// What a query reads from, and for whom.
#[derive(Clone)]
pub(crate) struct Tenant {
    pub(crate) storage: Storage,
    pub(crate) context: TenantContext,
    pub(crate) running: Arc<Running>,
    /// The time of which rows are seen.
    pub(crate) range: TimeRange,
    /// Partitions of a scan.
    pub(crate) parallelism: usize,
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tenant").field(self.context.tenant()).finish()
    }
}

/// The one catalog.
#[derive(Clone, Debug)]
pub(crate) struct Catalog(pub(crate) Tenant);

impl CatalogProviderList for Catalog {
    fn register_catalog(
        &self,
        _name: String,
        _catalog: Arc<dyn CatalogProvider>,
    ) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOG.to_owned()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        (name == CATALOG).then(|| Arc::new(self.clone()) as _)
    }
}

impl CatalogProvider for Catalog {
    fn schema_names(&self) -> Vec<String> {
        vec![SCHEMA.to_owned()]
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        (name == SCHEMA).then(|| Arc::new(self.clone()) as _)
    }
}

#[async_trait]
impl SchemaProvider for Catalog {
    fn table_names(&self) -> Vec<String> {
        TableName::ALL.iter().map(|table| table.as_str().to_owned()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let table = TableName::ALL.into_iter().find(|table| table.as_str() == name);
        Ok(table.map(|name| Arc::new(Table { name, tenant: self.0.clone() }) as _))
    }

    fn table_exist(&self, name: &str) -> bool {
        TableName::ALL.iter().any(|table| table.as_str() == name)
    }
}

/// A table of the tenant.
#[derive(Debug)]
struct Table {
    name: TableName,
    tenant: Tenant,
}

impl Table {
    async fn source(
        &self,
        projection: Option<&Vec<usize>>,
        conditions: &[Expr],
    ) -> std::result::Result<Arc<dyn Source>, QueryError> {
        let columns = Columns::new(self.name, projection)?;
        let wanted = Wanted::by(self.name, conditions).within(self.tenant.range);
        Ok(match self.name {
            TableName::Metrics => Arc::new(sources::metrics(&self.tenant, columns, wanted).await?),
            TableName::Logs => Arc::new(sources::logs(&self.tenant, columns, wanted).await?),
            TableName::Traces => Arc::new(sources::traces(&self.tenant, columns, wanted).await?),
        })
    }
}

#[async_trait]
impl TableProvider for Table {
    fn schema(&self) -> arrow::datatypes::SchemaRef {
        Arc::clone(self.name.schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let source = self.source(projection, filters).await;
        let source = source.map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(Arc::new(ScanExec::new(source, Arc::clone(&self.tenant.running), limit)))
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match Wanted::is_exact(self.name, filter) {
            Some(true) => TableProviderFilterPushDown::Exact,
            Some(false) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }
}
