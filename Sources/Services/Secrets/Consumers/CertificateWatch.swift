import Contracts
import Identifiers
import JSON
import REST
import Store
import Synchronization
import Telemetry
import Time

/// Tells of certificates that end, and signs lists of revoked ones anew before they are too old.
///
/// What was told stands in the table, so each is told once, whichever process looks and whatever is restarted.
final class CertificateWatch: Sendable {
    static let lookEvery: Duration = .seconds(60)
    /// Certificates and lists of one look at most; the next look takes more.
    private static let batch: Int = 200

    private let services: ServiceEnvironment
    private let pki: PKI
    private let isSealed: @Sendable () -> Bool
    private let watcher: Mutex<Task<Void, Never>?> = Mutex(nil)
    /// Certificates that end within 30 days and were not renewed, as last seen.
    private let ending: Mutex<Int> = Mutex(0)

    init(services: ServiceEnvironment, pki: PKI, isSealed: @escaping @Sendable () -> Bool) {
        self.services = services
        self.pki = pki
        self.isSealed = isSealed
        services.metrics.gauge(
            "passerelle_pki_certificates_ending",
            help: "Certificates that end within 30 days and were neither renewed nor revoked."
        ) { [weak self] in self?.ending.withLock { Double($0) } ?? 0 }
    }

    func start() {
        let task: Task<Void, Never> = Task { await self.watch() }
        self.watcher.withLock { $0 = task }
    }

    func stop() async {
        let task: Task<Void, Never>? = self.watcher.withLock { $0 }
        task?.cancel()
        await task?.value
    }

    private func watch() async {
        while (try? await self.services.clock.sleep(for: Self.lookEvery)) != nil { await self.look() }
    }

    func look() async {
        do {
            try await self.tellEnding()
            if !self.isSealed() { try await self.renewLists() }
        } catch {
            self.services.logger.log(
                .warning, "certificates could not be looked after", ["error": .string("\(error)")])
        }
    }

    // MARK: Ends

    private func tellEnding() async throws {
        let now: Timestamp = self.services.clock.now()
        let before: Int64 = now.seconds + (CertificateRules.alertDays.max() ?? 0) * 86_400
        let found: [(record: CertificateRecord, told: Int64)] = try await self.services.store.read {
            try IssuedTable.ending(before: before, now: now, limit: 10 * Self.batch, in: $0)
        }
        self.ending.withLock { $0 = found.count }
        var due: [(id: String, tenant: String)] = []
        for (record, told) in found where Self.due(record, told: told, now: now) != nil {
            due.append((record.id, record.tenant))
        }
        guard !due.isEmpty else { return }
        let wanted: [(id: String, tenant: String)] = Array(due.prefix(Self.batch))
        let told: [CertificateRecord] = try await self.services.store.write { transaction in
            var told: [CertificateRecord] = []
            let fresh: [(record: CertificateRecord, told: Int64)] = try IssuedTable.ending(
                before: before, now: transaction.now, limit: 10 * Self.batch, in: transaction)
            for (record, last) in fresh where wanted.contains(where: { $0.id == record.id }) {
                guard let days: Int64 = Self.due(record, told: last, now: transaction.now) else { continue }
                try Self.tell(record, days: days, in: transaction)
                told.append(record)
            }
            return told
        }
        for record in told {
            self.services.logger.log(
                .warning, "a certificate ends soon",
                [
                    "certificate": .string(record.id), "tenant": .string(record.tenant),
                    "common_name": .string(record.commonName),
                    "not_after": .string(Timestamp(seconds: record.notAfter).rfc3339),
                ])
        }
    }

    private static func due(_ record: CertificateRecord, told: Int64, now: Timestamp) -> Int64? {
        guard
            let days: Int64 = CertificateRules.alert(
                notBefore: record.notBefore, notAfter: record.notAfter, now: now.seconds, told: told)
        else { return nil }
        // What the platform renews by itself is told of when that has not happened.
        if record.purpose != .general,
            now.seconds <= CertificateRules.renewAt(notBefore: record.notBefore, notAfter: record.notAfter) + 86_400
        {
            return nil
        }
        return days
    }

    private static func tell(_ record: CertificateRecord, days: Int64, in transaction: Transaction) throws {
        let author: Author = Author(caller: .platform("secrets"), trace: TraceContext.make())
        try IssuedTable.setAlerted(days, record, in: transaction)
        try PKI.audit("certificate.expiring", record, author, in: transaction)
        let id: String = Identifier.make("ntf", now: transaction.now)
        try author.publish(
            Topics.notifications, key: id, tenant: record.tenant,
            [
                "notification_id": .string(id), "type": "certificate-expiring",
                "recipients": record.tenant == PKI.platform
                    ? .array(["role:platform-admin"]) : .array(["role:cpi-tenant", "role:devops"]),
                "template": "certificate-expiring",
                "data": .object([
                    "certificate": .string(record.id), "common_name": .string(record.commonName),
                    "names": .array(record.names.map { .string($0) }), "days": .int(days),
                    "not_after": .string(Timestamp(seconds: record.notAfter).rfc3339),
                ]),
            ], in: transaction)
    }

    // MARK: Lists

    private func renewLists() async throws {
        let now: Int64 = self.services.clock.now().seconds
        let due: [AuthorityRecord] = try await self.services.store.read {
            try AuthorityTable.due(
                listedBefore: now - CertificateRules.listEvery, now: now, limit: Self.batch, in: $0)
        }
        let pki: PKI = self.pki
        for stale in due {
            try await self.services.store.write { transaction in
                // As it is now: it may have been renewed meanwhile, and its number counts on.
                guard
                    let authority: AuthorityRecord = try AuthorityTable.find(
                        stale.id, tenant: stale.tenant, in: transaction), authority.listNumber == stale.listNumber
                else { return }
                try pki.renewList(authority, in: transaction)
            }
        }
    }
}
