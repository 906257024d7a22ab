package import KeyRing

extension IdentityService {
    /// What this service keeps sealed.
    package static let sealedColumns: [SealedColumn] = [
        SealedColumn("signing_keys", keys: [.text("key_id")]) { SigningKeys.sealName($0[0]) },
        SealedColumn("provider_hints", keys: [.text("session_id")]) { ProviderHintTable.sealName($0[0]) },
        SealedColumn("second_factors", keys: [.text("user_id")]) { SecondFactor.sealName($0[0]) },
    ]
}
