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
                    """),
            // The tenant '' is the platform. Authorities are found by their id alone, too: by those who check certificates.
            Migration(
                number: 2, name: "certificates",
                sql: """
                    CREATE TABLE pki_authorities (
                        tenant text NOT NULL, authority_id text NOT NULL, kind text NOT NULL, generation int64 NOT NULL,
                        certificate text NOT NULL, sealed bytes NOT NULL, not_after int64 NOT NULL,
                        list bytes, list_number int64 NOT NULL, list_at int64, list_next int64, created_at int64 NOT NULL,
                        PRIMARY KEY (tenant, authority_id));
                    CREATE UNIQUE INDEX pki_authorities_generation ON pki_authorities (tenant, kind, generation);
                    CREATE UNIQUE INDEX pki_authorities_id ON pki_authorities (authority_id);
                    CREATE TABLE pki_names (tenant text NOT NULL PRIMARY KEY, names json NOT NULL);
                    CREATE TABLE pki_certificates (
                        tenant text NOT NULL, certificate_id text NOT NULL, authority_id text NOT NULL,
                        serial text NOT NULL, fingerprint text NOT NULL, common_name text NOT NULL, names json NOT NULL,
                        cert_usage text NOT NULL, purpose text NOT NULL, holder text NOT NULL, not_before int64 NOT NULL,
                        not_after int64 NOT NULL, certificate text NOT NULL, renews text, renewed_by text,
                        revoked_at int64, reason text, sealed bytes, alerted int64 NOT NULL, created_at int64 NOT NULL,
                        created_by text NOT NULL, PRIMARY KEY (tenant, certificate_id));
                    CREATE UNIQUE INDEX pki_certificates_fingerprint ON pki_certificates (tenant, fingerprint);
                    CREATE INDEX pki_certificates_holder ON pki_certificates (tenant, purpose, holder, certificate_id);
                    CREATE INDEX pki_certificates_end ON pki_certificates (not_after);
                    CREATE INDEX pki_certificates_revoked ON pki_certificates (authority_id) WHERE revoked_at IS NOT NULL;
                    """),
        ])
}
