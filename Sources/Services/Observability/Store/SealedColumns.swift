package import KeyRing

extension ObservabilityService {
    /// What this service keeps sealed.
    package static let sealedColumns: [SealedColumn] = [
        SealedColumn("observability_keys", keys: [.text("name")]) { $0[0] }
    ]
}
