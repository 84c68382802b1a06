@biannual @critical @database @files @mongodb @redis
@soc_2_a1_3 @nist_cp_4 @iso_22301_8_5 @dora_24_26 @nist_cp_10 @iso_27001_a_5_30 @dora_11 @iso_27001_a_8_14
Feature: Multi-region failover
  The strategy asks for a failover to the secondary region twice a year: replicas are promoted, the names are pointed to the secondary
  region, function is verified there. Then the way back: the old region follows, and service is handed over without losing a write.

  Scenario: The primary region is killed, the secondary takes over, and service returns
    Given the platform runs in two regions with a witness, behind public names
    And MongoDB, Redis and file storage hold reference data
    And file storage is replicated to the secondary region
    And clients write to MongoDB, Redis and file storage
    And clients have written 50 more times to each store
    When the primary region is killed
    And the platform fails over to the secondary region
    And the primary region comes back as a follower
    And the platform is switched over to the primary region as planned
    Then every store answers through its public name
    And exactly one server of each replicated store accepts writes
    And the reference data is unchanged
    And what the lost region alone had was saved
    And nothing acknowledged after the change of regions is missing
    And every acknowledged write is accounted for
    And the recovery time of each store meets its objective
    And the data loss of each store meets its objective

  Scenario: The primary region is killed, and the services go on in the secondary region
    Given the platform runs in two regions with a witness, behind public names
    And MongoDB, Redis and file storage hold reference data
    And file storage is replicated to the secondary region
    And the services are deployed
    And clients write to MongoDB, Redis and file storage
    And clients have written 50 more times to each store
    When the primary region is killed
    And the platform fails over to the secondary region
    And the primary region comes back as a follower
    Then every store answers through its public name
    And exactly one server of each replicated store accepts writes
    And the reference data is unchanged
    And every service is healthy and reaches what it depends on
    And an upload becomes a PDF
    And no reference between the stores dangles
    And what the lost region alone had was saved
    And nothing acknowledged after the change of regions is missing
    And every acknowledged write is accounted for
    And the recovery time of each store meets its objective
    And the data loss of each store meets its objective

  Scenario: The platform is switched over as planned, and no write is lost
    Given the platform runs in two regions with a witness, behind public names
    And MongoDB, Redis and file storage hold reference data
    And file storage is replicated to the secondary region
    And clients write to MongoDB, Redis and file storage
    And clients have written 50 more times to each store
    When the platform is switched over to the secondary region as planned
    Then every store answers through its public name
    And exactly one server of each replicated store accepts writes
    And the reference data is unchanged
    And every acknowledged write is accounted for
    And nothing acknowledged after the change of regions is missing
    And the recovery time of each store meets its objective
    And the data loss of each store meets its objective

  Scenario: A set without a witness is moved by force, and what the primary alone had acknowledged is counted and saved
    Given the platform runs in two regions behind public names
    And MongoDB, Redis and file storage hold reference data
    And file storage is replicated to the secondary region
    And weakly acknowledged clients write to MongoDB, Redis and file storage
    And clients have written 50 more times to each store
    When the primary region is killed
    And the platform fails over to the secondary region
    And the primary region comes back as a follower
    Then every store answers through its public name
    And exactly one server of each replicated store accepts writes
    And the reference data is unchanged
    And what the lost region alone had was saved
    And nothing acknowledged after the change of regions is missing
    And every acknowledged write is accounted for
    And the recovery time of each store meets its objective
    And the data loss of each store meets its objective

  Scenario: The primary region is cut off from the network while it runs, and is fenced before the secondary takes over
    Given the platform runs in two regions with a witness, behind public names
    And MongoDB, Redis and file storage hold reference data
    And file storage is replicated to the secondary region
    And clients write to MongoDB, Redis and file storage
    And clients have written 50 more times to each store
    When the network to the MongoDB, Redis and file storage servers of the primary region is cut
    And the platform fails over to the secondary region
    And the disaster is over
    And the primary region comes back as a follower
    Then every store answers through its public name
    And exactly one server of each replicated store accepts writes
    And the reference data is unchanged
    And what the lost region alone had was saved
    And nothing acknowledged after the change of regions is missing
    And every acknowledged write is accounted for
    And the recovery time of each store meets its objective
    And the data loss of each store meets its objective

  Scenario: The primary region is parted from the others, and clients go on writing on both sides
    Given the platform runs in two regions with a witness, behind public names
    And MongoDB, Redis and file storage hold reference data
    And file storage is replicated to the secondary region
    And clients write to MongoDB, Redis and file storage
    And clients that never leave the primary region write to MongoDB, Redis and file storage
    And clients have written 50 more times to each store
    When the primary region is parted from the others
    And the platform fails over to the secondary region
    And the disaster is over
    And the primary region comes back as a follower
    Then every store answers through its public name
    And exactly one server of each replicated store accepts writes
    And no write was acknowledged where the platform had been fenced
    And the reference data is unchanged
    And what the lost region alone had was saved
    And what was lost on failback is exactly what the lost region alone had
    And nothing acknowledged after the change of regions is missing
    And every acknowledged write is accounted for
    And the recovery time of each store meets its objective
    And the data loss of each store meets its objective
