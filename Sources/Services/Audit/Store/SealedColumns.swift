package import KeyRing

extension AuditService {
    /// What this service keeps sealed.
    package static let sealedColumns: [SealedColumn] = [
        SealedColumn("audit_keys", keys: [.text("key_id")]) { _ in CheckpointKeys.sealName },
        SealedColumn("audit_subject_keys", keys: [.text("key_id")]) { SubjectKeys.sealName($0[0]) },
    ]
}
