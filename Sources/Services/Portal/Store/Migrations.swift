package import Store

extension PortalService {
    package static let migrations: ServiceMigrations = ServiceMigrations(
        service: "portal",
        steps: [
            Migration(
                number: 1, name: "portal",
                sql: """
                    CREATE TABLE applications (
                        tenant text NOT NULL, application_id text NOT NULL, name text NOT NULL, owner text NOT NULL,
                        created_at int64 NOT NULL, version int64 NOT NULL, PRIMARY KEY (tenant, application_id));
                    CREATE UNIQUE INDEX applications_name ON applications (tenant, name);
                    CREATE INDEX applications_owner ON applications (owner, application_id);
                    CREATE TABLE api_keys (
                        tenant text NOT NULL, application_id text NOT NULL, key_id text NOT NULL, sha256 text NOT NULL,
                        hint text NOT NULL, created_at int64 NOT NULL, expires_at int64,
                        PRIMARY KEY (tenant, application_id, key_id));
                    CREATE UNIQUE INDEX api_keys_hash ON api_keys (sha256);
                    CREATE TABLE subscriptions (
                        tenant text NOT NULL, subscription_id text NOT NULL, application_id text NOT NULL,
                        api_id text NOT NULL, plan text NOT NULL, state text NOT NULL, created_at int64 NOT NULL,
                        version int64 NOT NULL, PRIMARY KEY (tenant, subscription_id));
                    CREATE UNIQUE INDEX subscriptions_pair ON subscriptions (tenant, application_id, api_id);
                    CREATE INDEX subscriptions_api ON subscriptions (tenant, api_id);
                    CREATE INDEX subscriptions_plan ON subscriptions (tenant, plan);
                    """)
        ])
}
