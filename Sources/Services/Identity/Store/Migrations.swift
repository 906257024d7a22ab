package import Store

extension IdentityService {
    package static let migrations: ServiceMigrations = ServiceMigrations(
        service: "identity",
        steps: [
            // Users, sessions and signing keys belong to the platform: a user may hold roles in several tenants.
            Migration(
                number: 1, name: "identity",
                sql: """
                    CREATE TABLE users (
                        user_id text NOT NULL PRIMARY KEY, name text NOT NULL UNIQUE, password_hash text NOT NULL,
                        state text NOT NULL, created_at int64 NOT NULL, version int64 NOT NULL);
                    CREATE TABLE grants (
                        tenant text NOT NULL, user_id text NOT NULL, role text NOT NULL,
                        PRIMARY KEY (tenant, user_id, role));
                    CREATE INDEX grants_user ON grants (user_id);
                    CREATE TABLE sessions (
                        session_id text NOT NULL PRIMARY KEY, user_id text NOT NULL, ip text NOT NULL,
                        created_at int64 NOT NULL, expires_at int64 NOT NULL, revoked_at int64);
                    CREATE INDEX sessions_user ON sessions (user_id, session_id);
                    CREATE TABLE signing_keys (
                        key_id text NOT NULL PRIMARY KEY, sealed bytes NOT NULL, created_at int64 NOT NULL,
                        retired_at int64);
                    """)
        ])
}
