import Bytes
package import Contracts
import EventLog
import JSON
import REST
package import Store

/// What `audit` keeps of tenants. The log itself stays, and with it the index of its entries; what it has of people who were the
/// tenant's alone becomes unreadable.
extension AuditService: TenantData {
    package var tenantDataName: String { Self.name }

    package var tenantTables: [TenantRows] {
        [
            TenantRows("audit_access", keys: "rule who since", columns: "amount"),
            TenantRows(
                "audit_entries", keys: "leaf",
                keptBecause: "it tells where entries stand in the audit log, which stays; it goes with them"),
        ]
    }

    package var tenantSections: [TenantSection] {
        [
            TenantSection("entries", withheld: ["what is sealed of people"]) { [self] tenant, after in
                try await self.entriesPage(of: tenant, after: after)
            }
        ]
    }

    /// Entries as the log has them, with their stored bytes, which a proof is about. What comes after the first page is not part of it.
    private func entriesPage(of tenant: String, after: String?) async throws -> TenantPage {
        let parts: [Int64] = (after ?? "").split(separator: "/").compactMap { Int64($0) }
        let size: Int64 = parts.count == 2 ? parts[1] : try await self.head().size
        var filter: EntryFilter = EntryFilter(tenant: tenant, leaves: (parts.first ?? 0)..<max(parts.first ?? 0, size))
        filter.isAscending = true
        let asked: EntryFilter = filter
        let leaves: [Int64] = try await self.services.store.read {
            try EntryIndex.leaves(asked, limit: Page.limitMax, in: $0)
        }
        let records: [Int64: [UInt8]] = try await self.entries(leaves)
        var lines: [JSONValue] = []
        for leaf in leaves {
            guard let bytes: [UInt8] = records[leaf] else { continue }
            lines.append(
                .object([
                    "leaf": .int(leaf), "entry": (try? JSONReader.parse(bytes)) ?? .null,
                    "leaf_bytes": .string(Base64.encode(bytes)),
                ]))
        }
        let isMore: Bool = leaves.count == Page.limitMax
        return TenantPage(.lines(lines), next: isMore ? leaves.last.map { "\($0 + 1)/\(size)" } : nil)
    }

    /// As an erasure does: so that a list of erasures, which is repeated after a restore, has them, too.
    package func forget(persons: [String], of ending: TenantEnding, in transaction: Transaction) throws {
        for person in persons {
            let keys: [String] = try SubjectKeyTable.destroy(person, in: transaction)
            if keys.isEmpty { continue }
            try ending.author.audit(
                SubjectKeys.erasedEvent, tenant: "", resource: AuditEntry.Resource(type: "person", id: person),
                changes: [
                    "keys": .array(keys.map { .string($0) }), "reason": .string("tenant \(ending.tenant) deleted"),
                ], in: transaction)
        }
    }

    package func ended(_ step: TenantStep) async {
        for person in step.persons { self.subjects.forget(person) }
    }
}
