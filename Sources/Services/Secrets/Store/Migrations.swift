package import Store

extension SecretsService {
    // A secret that was deleted leaves its row, so that a later one of its name goes on counting versions: a number never
    // stands for two values.
    package static let migrations: ServiceMigrations = ServiceMigrations(
        service: "secrets",
        steps: [
            Migration(
                number: 1, name: "secrets",
                sql: """
                    CREATE TABLE secrets (
                        tenant text NOT NULL, name text NOT NULL, description text NOT NULL, version int64 NOT NULL,
                        created_at int64 NOT NULL, updated_at int64 NOT NULL, updated_by text NOT NULL,
                        deleted_at int64, PRIMARY KEY (tenant, name));
                    CREATE TABLE secret_versions (
                        tenant text NOT NULL, name text NOT NULL, version int64 NOT NULL, sealed bytes NOT NULL,
                        created_at int64 NOT NULL, created_by text NOT NULL, PRIMARY KEY (tenant, name, version));
                    """)
        ])
}
