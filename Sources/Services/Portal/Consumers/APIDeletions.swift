import Contracts
import EventLog
import Identifiers
import JSON
import REST
import Store
import Synchronization

/// Ends the subscriptions of an API that was deleted. Group `portal-api-deletions` on `api-deleted`; effects commit with the offset.
final class APIDeletions: Sendable {
    private let services: ServiceEnvironment
    private let consumer: Mutex<Consumer?> = Mutex(nil)

    init(services: ServiceEnvironment) { self.services = services }

    func start() async throws {
        let consumer: Consumer = try self.services.log.consume(
            group: "portal-api-deletions", topics: [Topics.apiDeleted],
            handler: .transactional { transaction, record in try Self.handle(record, in: transaction) })
        self.consumer.withLock { $0 = consumer }
    }

    func stop() async { await self.consumer.withLock { $0 }?.stop() }

    private static func handle(_ record: Record, in transaction: Transaction) throws {
        guard let event: JSONValue = try? JSONReader.parse(record.value), let tenant: String = event["tenant"]?.text,
            let api: String = event["api_id"]?.text
        else { throw DeliveryError.poison(reason: "expected tenant and api_id in \(Topics.apiDeleted)") }
        let trace: TraceContext = record.traceparent.flatMap { TraceContext(traceparent: $0) } ?? TraceContext.make()
        let author: Author = Author(caller: .platform("portal"), trace: trace)
        for subscription in try SubscriptionTable.of(api: api, tenant: tenant, in: transaction) {
            try PortalService.end(subscription, author, in: transaction)
        }
    }
}
