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
                    """),
            // Groups and service accounts with an empty tenant are the platform's.
            Migration(
                number: 2, name: "tokens, service accounts, groups",
                sql: """
                    CREATE TABLE access_tokens (
                        tenant text NOT NULL, owner_id text NOT NULL, token_id text NOT NULL, name text NOT NULL,
                        sha256 text NOT NULL, hint text NOT NULL, scopes text NOT NULL, created_at int64 NOT NULL,
                        expires_at int64 NOT NULL, revoked_at int64, PRIMARY KEY (tenant, owner_id, token_id));
                    CREATE UNIQUE INDEX access_tokens_hash ON access_tokens (sha256);
                    CREATE INDEX access_tokens_owner ON access_tokens (owner_id, token_id);
                    CREATE TABLE service_accounts (
                        tenant text NOT NULL, account_id text NOT NULL, name text NOT NULL, state text NOT NULL,
                        roles text NOT NULL, created_by text NOT NULL, created_at int64 NOT NULL, version int64 NOT NULL,
                        PRIMARY KEY (tenant, account_id));
                    CREATE UNIQUE INDEX service_accounts_name ON service_accounts (tenant, name);
                    CREATE UNIQUE INDEX service_accounts_id ON service_accounts (account_id);
                    CREATE TABLE user_groups (
                        tenant text NOT NULL, group_id text NOT NULL, name text NOT NULL, roles text NOT NULL,
                        created_at int64 NOT NULL, version int64 NOT NULL, PRIMARY KEY (tenant, group_id));
                    CREATE UNIQUE INDEX user_groups_name ON user_groups (tenant, name);
                    CREATE TABLE group_members (
                        tenant text NOT NULL, group_id text NOT NULL, user_id text NOT NULL,
                        PRIMARY KEY (tenant, group_id, user_id));
                    CREATE INDEX group_members_user ON group_members (user_id);
                    """),
            // Roles with an empty tenant are the platform's, for every tenant to give.
            Migration(
                number: 3, name: "custom roles",
                sql: """
                    CREATE TABLE custom_roles (
                        tenant text NOT NULL, name text NOT NULL, permissions text NOT NULL, environments text NOT NULL,
                        created_at int64 NOT NULL, version int64 NOT NULL, PRIMARY KEY (tenant, name));
                    """),
            // Clients with an empty tenant are the platform's. What users let clients do is of the platform, as users are.
            Migration(
                number: 4, name: "issuer",
                sql: """
                    CREATE TABLE oauth_clients (
                        tenant text NOT NULL, client_id text NOT NULL, name text NOT NULL, secret_hash text,
                        redirect_uris text NOT NULL, logout_uris text NOT NULL, grant_types text NOT NULL,
                        scopes text NOT NULL, trusted bool NOT NULL, account text, created_at int64 NOT NULL,
                        version int64 NOT NULL, PRIMARY KEY (tenant, client_id));
                    CREATE UNIQUE INDEX oauth_clients_id ON oauth_clients (client_id);
                    CREATE TABLE oauth_grants (
                        grant_id text NOT NULL PRIMARY KEY, client_id text NOT NULL, user_id text NOT NULL,
                        session_id text NOT NULL, scopes text NOT NULL, nonce text, signed_in_at int64 NOT NULL,
                        expires_at int64 NOT NULL, revoked_at int64);
                    CREATE INDEX oauth_grants_client ON oauth_grants (client_id);
                    CREATE TABLE oauth_secrets (
                        sha256 text NOT NULL PRIMARY KEY, kind text NOT NULL, grant_id text NOT NULL,
                        redirect_uri text NOT NULL, challenge text NOT NULL, expires_at int64 NOT NULL, used_at int64);
                    CREATE TABLE oauth_consents (
                        user_id text NOT NULL, client_id text NOT NULL, scopes text NOT NULL, created_at int64 NOT NULL,
                        PRIMARY KEY (user_id, client_id));
                    CREATE TABLE oauth_devices (
                        sha256 text NOT NULL PRIMARY KEY, user_code text NOT NULL UNIQUE, client_id text NOT NULL,
                        scopes text NOT NULL, state text NOT NULL, grant_id text, expires_at int64 NOT NULL,
                        asked_at int64 NOT NULL);
                    CREATE TABLE browser_sessions (
                        sha256 text NOT NULL PRIMARY KEY, session_id text NOT NULL, expires_at int64 NOT NULL);
                    """),
            // Of the platform, as users and sessions are.
            Migration(
                number: 5, name: "second factors",
                sql: """
                    CREATE TABLE second_factors (
                        user_id text NOT NULL PRIMARY KEY, sealed bytes NOT NULL, confirmed_at int64,
                        last_step int64 NOT NULL, created_at int64 NOT NULL);
                    CREATE TABLE recovery_codes (
                        user_id text NOT NULL, sha256 text NOT NULL, PRIMARY KEY (user_id, sha256));
                    ALTER TABLE sessions ADD COLUMN second_factor_at int64;
                    """),
            // Who at a provider is which user, by a hash; and the roles of tenants (an empty one is the platform) that it gives.
            Migration(
                number: 6, name: "identity providers",
                sql: """
                    CREATE TABLE provider_identities (
                        identity text NOT NULL PRIMARY KEY, user_id text NOT NULL, provider text NOT NULL,
                        said_at int64 NOT NULL, tokens_after int64 NOT NULL, created_at int64 NOT NULL);
                    CREATE INDEX provider_identities_user ON provider_identities (user_id);
                    CREATE TABLE provider_grants (
                        tenant text NOT NULL, user_id text NOT NULL, provider text NOT NULL, role text NOT NULL,
                        PRIMARY KEY (tenant, user_id, provider, role));
                    CREATE INDEX provider_grants_user ON provider_grants (user_id);
                    ALTER TABLE sessions ADD COLUMN provider text;
                    """),
            // What gateways learn of what was ended, in the order of commits.
            Migration(
                number: 7, name: "revocations for gateways",
                sql: """
                    CREATE TABLE revocation_counter (id int64 NOT NULL PRIMARY KEY, number int64 NOT NULL);
                    INSERT INTO revocation_counter (id, number) VALUES (1, 0);
                    CREATE TABLE gateway_revocations (
                        number int64 NOT NULL PRIMARY KEY, id text NOT NULL, revoked_at int64 NOT NULL,
                        ends_at int64 NOT NULL);
                    """),
            // The secret before the present one, while both work.
            Migration(
                number: 8, name: "secrets of clients with overlap",
                sql: """
                    ALTER TABLE oauth_clients ADD COLUMN old_secret_hash text;
                    ALTER TABLE oauth_clients ADD COLUMN old_secret_ends int64;
                    """),
            // Of the platform, as users are; policies belong to a tenant, an empty one is the platform. Methods: how the user has
            // shown who they are, in the order in which it happened.
            Migration(
                number: 9, name: "passkeys",
                sql: """
                    CREATE TABLE passkeys (
                        passkey_id text NOT NULL PRIMARY KEY, credential text NOT NULL UNIQUE, user_id text NOT NULL,
                        name text NOT NULL, public_key bytes NOT NULL, counter int64 NOT NULL, transports text NOT NULL,
                        backed_up bool NOT NULL, created_at int64 NOT NULL, used_at int64, suspended_at int64);
                    CREATE INDEX passkeys_user ON passkeys (user_id);
                    CREATE TABLE passkey_handles (user_id text NOT NULL PRIMARY KEY, handle bytes NOT NULL);
                    CREATE TABLE passkey_challenges (sha256 text NOT NULL PRIMARY KEY, expires_at int64 NOT NULL);
                    CREATE TABLE second_factor_policies (
                        tenant text NOT NULL, role text NOT NULL, PRIMARY KEY (tenant, role));
                    ALTER TABLE sessions ADD COLUMN methods text;
                    CREATE TABLE provider_hints (
                        session_id text NOT NULL PRIMARY KEY, sealed bytes NOT NULL, expires_at int64 NOT NULL);
                    """),
            Migration(
                number: 10, name: "labels in conditions of roles",
                sql: "ALTER TABLE custom_roles ADD COLUMN labels json NOT NULL DEFAULT '{}';"),
            // What was ended by its id, and what has ended by itself: without looking at the rest.
            Migration(
                number: 11, name: "ends",
                sql: """
                    CREATE INDEX gateway_revocations_id ON gateway_revocations (id);
                    CREATE INDEX sessions_end ON sessions (expires_at);
                    CREATE INDEX oauth_secrets_end ON oauth_secrets (expires_at);
                    CREATE INDEX oauth_grants_end ON oauth_grants (expires_at);
                    CREATE INDEX oauth_devices_end ON oauth_devices (expires_at);
                    CREATE INDEX browser_sessions_end ON browser_sessions (expires_at);
                    """),
        ])
}
