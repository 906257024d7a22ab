package import KeyRing

extension AuditService {
    /// What this service keeps sealed.
    package static let sealedColumns: [SealedColumn] = [
        SealedColumn("audit_keys", keys: [.text("key_id")]) { _ in CheckpointKeys.sealName }
    ]
}
