import Catalog
import Documents

/// `tenants` of the settings file.
struct TenantSettings: Sendable {
    /// For how long the end of a tenant can be called off. Default 7 days, 0…90 days.
    var deletionGrace: Duration = TenancyRules.deletionGraceDefault
    /// For how long the archive of a tenant can be fetched. Default a day, a minute…30 days.
    var exportsKept: Duration = TenancyRules.exportsKeptDefault

    static func read(_ decoder: NodeDecoder, _ settings: inout Settings) {
        guard let fields: NodeFields = decoder.fields(["deletion_grace", "exports_kept"]) else { return }
        if let time: Duration = fields["deletion_grace"]?.duration(in: TenancyRules.deletionGraceRange) {
            settings.tenants.deletionGrace = time
        }
        if let time: Duration = fields["exports_kept"]?.duration(in: TenancyRules.exportsKeptRange) {
            settings.tenants.exportsKept = time
        }
    }
}
