import Store

/// The tables of `audit`.
///
/// The tree is platform-wide on purpose, not tenant-first: one tree over all tenants' entries, so that nobody's history can be
/// rewritten alone. The index of entries is tenant-first; its rows go with the entries they point to.
enum AuditMigrations {
    /// The step that brings keys of people.
    static let peopleNumber: Int = 2

    static let service: ServiceMigrations = ServiceMigrations(
        service: "audit",
        steps: [
            Migration(number: 1, name: "tree", sql: Self.tree),
            Migration(number: Self.peopleNumber, name: "people", sql: Self.people),
            Migration(number: 3, name: "unusual access", sql: Self.access),
            Migration(number: 4, name: "anchors", sql: Self.anchors),
        ])

    // Of the platform: how it stands with each place outside that keeps checkpoints.
    private static let anchors: String = """
        CREATE TABLE audit_anchors (
            anchor text NOT NULL PRIMARY KEY, size int64 NOT NULL, anchored_at int64, tried_at int64 NOT NULL,
            failure text, failing_since int64);
        """

    private static let access: String = """
        CREATE TABLE audit_access (
            tenant text NOT NULL, rule text NOT NULL, who text NOT NULL, since int64 NOT NULL, amount int64 NOT NULL,
            PRIMARY KEY (tenant, rule, who, since));
        CREATE INDEX audit_access_age ON audit_access (since);
        """

    // Of the platform, as users are. `subject` is a user, a service account or an address; who destroys the rows erases what the
    // keys seal in entries.
    private static let people: String = """
        CREATE TABLE audit_subject_keys (
            key_id text NOT NULL PRIMARY KEY, subject text NOT NULL, sealed bytes NOT NULL, created_at int64 NOT NULL);
        CREATE INDEX audit_subject_keys_subject ON audit_subject_keys (subject, created_at);
        CREATE INDEX audit_subject_keys_age ON audit_subject_keys (created_at);
        """

    // `audit_tree` has one row once the tree has a leaf. `audit_tiles` holds each tile once, the partial ones at the right edge
    // rewritten as they grow. `audit_checkpoints` are signed notes of earlier heads: what later heads must be consistent with.
    private static let tree: String = """
        CREATE TABLE audit_tree (id int64 NOT NULL PRIMARY KEY, size int64 NOT NULL, root bytes NOT NULL);
        CREATE TABLE audit_tiles (
            level int64 NOT NULL, tile_index int64 NOT NULL, hashes bytes NOT NULL, PRIMARY KEY (level, tile_index));
        CREATE TABLE audit_checkpoints (
            size int64 NOT NULL PRIMARY KEY, note text NOT NULL, created_at int64 NOT NULL);
        CREATE TABLE audit_keys (
            key_id text NOT NULL PRIMARY KEY, verifier text NOT NULL, sealed bytes NOT NULL, created_at int64 NOT NULL);
        CREATE TABLE audit_entries (
            tenant text NOT NULL, leaf int64 NOT NULL, event_type text NOT NULL, resource_type text NOT NULL,
            resource_id text NOT NULL, actor text NOT NULL, PRIMARY KEY (tenant, leaf)) WITHOUT ROWID;
        CREATE INDEX audit_entries_leaf ON audit_entries (leaf);
        CREATE INDEX audit_entries_resource ON audit_entries (resource_id, leaf);
        CREATE INDEX audit_entries_actor ON audit_entries (actor, leaf);
        CREATE INDEX audit_entries_type ON audit_entries (event_type, leaf);
        """
}
