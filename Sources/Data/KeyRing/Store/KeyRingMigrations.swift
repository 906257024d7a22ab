package import Store

extension KeyRing {
    /// `key_encrypting_keys` is platform-wide: the master key wraps them, they wrap what is in `data_keys`. `data_keys` is
    /// tenant-first; the platform's own have the tenant ''. A name other than '' is a key that can be destroyed by itself.
    package static let migrations: ServiceMigrations = ServiceMigrations(
        service: "key-ring",
        steps: [
            Migration(
                number: 1, name: "keys",
                sql: """
                    CREATE TABLE key_encrypting_keys (
                        key_id text NOT NULL PRIMARY KEY, number int64 NOT NULL, purpose text NOT NULL,
                        master text NOT NULL, wrapped bytes NOT NULL, created_at int64 NOT NULL, active_at int64 NOT NULL, retired_at int64);
                    CREATE TABLE data_keys (
                        tenant text NOT NULL, name text NOT NULL, version int64 NOT NULL, key_id text NOT NULL,
                        wrapped bytes NOT NULL, created_at int64 NOT NULL, active_at int64 NOT NULL, retired_at int64,
                        PRIMARY KEY (tenant, name, version));
                    CREATE INDEX data_keys_wrapping ON data_keys (key_id);
                    """)
        ])
}
