package import Store

extension CatalogService {
    package static let migrations: ServiceMigrations = ServiceMigrations(
        service: "catalog",
        steps: [
            Migration(
                number: 1, name: "catalog",
                sql: """
                    CREATE TABLE tenants (
                        tenant text NOT NULL PRIMARY KEY, display_name text NOT NULL, version int64 NOT NULL,
                        created_at int64 NOT NULL, deleted_at int64);
                    CREATE TABLE targets (
                        tenant text NOT NULL, name text NOT NULL, kind text NOT NULL, gateway_group text NOT NULL,
                        version int64 NOT NULL, PRIMARY KEY (tenant, name));
                    CREATE TABLE environments (
                        tenant text NOT NULL, name text NOT NULL, target text NOT NULL, hosts json NOT NULL,
                        requires_promotion bool NOT NULL, version int64 NOT NULL, PRIMARY KEY (tenant, name));
                    CREATE TABLE plans (
                        tenant text NOT NULL, name text NOT NULL, rate_limit int64, rate_window_ms int64,
                        approval bool NOT NULL, version int64 NOT NULL, PRIMARY KEY (tenant, name));
                    CREATE TABLE apis (
                        tenant text NOT NULL, api_id text NOT NULL, name text NOT NULL, title text NOT NULL,
                        state text NOT NULL, base_path text NOT NULL, latest_revision int64 NOT NULL,
                        created_by text NOT NULL, created_at int64 NOT NULL, version int64 NOT NULL, deleted_at int64,
                        PRIMARY KEY (tenant, api_id));
                    CREATE UNIQUE INDEX apis_name ON apis (tenant, name) WHERE deleted_at IS NULL;
                    CREATE TABLE documents (
                        tenant text NOT NULL, hash text NOT NULL, document bytes NOT NULL, PRIMARY KEY (tenant, hash));
                    CREATE TABLE revisions (
                        tenant text NOT NULL, api_id text NOT NULL, revision int64 NOT NULL, document_hash text NOT NULL,
                        gateway json NOT NULL, api_version text NOT NULL, created_by text NOT NULL,
                        created_at int64 NOT NULL, PRIMARY KEY (tenant, api_id, revision));
                    """),
            Migration(
                number: 2, name: "quotas of plans",
                sql: """
                    ALTER TABLE plans ADD COLUMN quota int64;
                    ALTER TABLE plans ADD COLUMN quota_window text;
                    ALTER TABLE plans ADD COLUMN concurrency int64;
                    """),
            // A tenant that is to end, until it has; and archives of tenants, in parts that are sealed with a key of their own.
            Migration(
                number: 3, name: "ends and exports of tenants",
                sql: """
                    CREATE TABLE tenant_endings (
                        tenant text NOT NULL PRIMARY KEY, task_id text NOT NULL, erases_users bool NOT NULL,
                        asked_by text NOT NULL, traceparent text NOT NULL, asked_at int64 NOT NULL,
                        due_at int64 NOT NULL, stage text, settled_at int64 NOT NULL, rows_removed int64 NOT NULL,
                        users_erased int64 NOT NULL, worker text NOT NULL, touched_at int64 NOT NULL);
                    CREATE TABLE tenant_exports (
                        tenant text NOT NULL, export_id text NOT NULL, task_id text NOT NULL, state text NOT NULL,
                        progress json NOT NULL, parts int64 NOT NULL, size int64 NOT NULL, created_by text NOT NULL,
                        traceparent text NOT NULL, created_at int64 NOT NULL, expires_at int64, worker text NOT NULL,
                        touched_at int64 NOT NULL, PRIMARY KEY (tenant, export_id));
                    CREATE TABLE tenant_export_parts (
                        tenant text NOT NULL, export_id text NOT NULL, part int64 NOT NULL, sealed bytes NOT NULL,
                        PRIMARY KEY (tenant, export_id, part));
                    """),
            Migration(
                number: 4, name: "labels of APIs",
                sql: "ALTER TABLE apis ADD COLUMN labels json NOT NULL DEFAULT '{}';"),
        ])
}
