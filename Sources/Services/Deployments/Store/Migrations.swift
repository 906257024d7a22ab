package import Store

extension DeploymentsService {
    package static let migrations: ServiceMigrations = ServiceMigrations(
        service: "deployments",
        steps: [
            // gateways and gateway_tokens belong to the platform, not to a tenant: a gateway serves all tenants of its group.
            Migration(
                number: 1, name: "deployments",
                sql: """
                    CREATE TABLE deployments (
                        tenant text NOT NULL, deployment_id text NOT NULL, api_id text NOT NULL, api_name text NOT NULL,
                        revision int64 NOT NULL, environment text NOT NULL, action text NOT NULL, state text NOT NULL,
                        requested_by text NOT NULL, triggered_by text NOT NULL, traceparent text NOT NULL,
                        gateway_group text NOT NULL, gateway_version int64, previous_revision int64,
                        created_at int64 NOT NULL, started_at int64, finished_at int64, result json,
                        PRIMARY KEY (tenant, deployment_id));
                    CREATE INDEX deployments_api ON deployments (tenant, api_id, deployment_id);
                    CREATE INDEX deployments_running ON deployments (state) WHERE state = 'running';
                    CREATE TABLE live (
                        tenant text NOT NULL, api_id text NOT NULL, environment text NOT NULL, gateway_group text NOT NULL,
                        revision int64 NOT NULL, deployment_id text NOT NULL,
                        PRIMARY KEY (tenant, api_id, environment));
                    CREATE INDEX live_environment ON live (tenant, environment);
                    CREATE TABLE gateways (
                        gateway_id text NOT NULL PRIMARY KEY, gateway_group text NOT NULL, address text NOT NULL,
                        version int64 NOT NULL, hash text NOT NULL, quarantined json NOT NULL, last_seen_at int64 NOT NULL,
                        first_seen_at int64 NOT NULL);
                    CREATE TABLE gateway_tokens (
                        sha256 text NOT NULL PRIMARY KEY, gateway_group text NOT NULL, created_at int64 NOT NULL);
                    """),
            // Which deployment had put the previous revision in place, so that going back names it.
            Migration(
                number: 2, name: "previous deployment",
                sql: """
                    ALTER TABLE deployments ADD COLUMN previous_deployment text;
                    DROP INDEX deployments_running;
                    CREATE INDEX deployments_running ON deployments (tenant, api_id) WHERE state = 'running';
                    """),
            Migration(
                number: 3, name: "counters of quotas",
                sql: """
                    CREATE TABLE gateway_counters (
                        tenant text NOT NULL, counter text NOT NULL, counted_window int64 NOT NULL, total int64 NOT NULL,
                        ends_at int64 NOT NULL, PRIMARY KEY (tenant, counter));
                    CREATE INDEX gateway_counters_end ON gateway_counters (ends_at);
                    """),
            // The sequence and the readers belong to the platform: a gateway serves all tenants of its group.
            Migration(
                number: 4, name: "purges of caches",
                sql: """
                    CREATE TABLE cache_purge_sequence (id int64 NOT NULL PRIMARY KEY, number int64 NOT NULL);
                    INSERT INTO cache_purge_sequence (id, number) VALUES (1, 0);
                    CREATE TABLE cache_purges (
                        number int64 NOT NULL PRIMARY KEY, tenant text NOT NULL, purge_order json NOT NULL,
                        created_at int64 NOT NULL);
                    CREATE INDEX cache_purges_age ON cache_purges (created_at);
                    CREATE TABLE cache_purge_readers (gateway_id text NOT NULL PRIMARY KEY, number int64 NOT NULL);
                    """),
        ])
}
