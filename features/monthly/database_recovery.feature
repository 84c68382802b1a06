@monthly @critical @database @mongodb @redis
@soc_2_a1_2 @nist_cp_9 @iso_27001_a_8_13 @hipaa_164_308_a_7 @dora_12 @nis2_21_2_c @soc_2_a1_3 @nist_cp_4 @iso_22301_8_5 @dora_24_26 @nist_cp_10
Feature: Database recovery
  The strategy asks for a monthly test of the database recovery procedures. This one loses the most that a database can lose at
  once: a person drops a collection by mistake, and before anyone has noticed the primary region's database servers die and take
  their disks with them. What is left is the vault.

  Background:
    Given the platform runs in two regions
    And MongoDB, Redis and file storage hold reference data
    And clients write to MongoDB, Redis and file storage

  Scenario: A collection is dropped by mistake, then the database servers are lost
    Given MongoDB has a full backup
    And the log of MongoDB is captured continuously
    And Redis has a snapshot backup
    And clients have written 50 more times to each store
    And MongoDB has an incremental backup
    And clients have written 50 more times to each store
    When a collection of MongoDB is dropped by mistake
    And clients have written 50 more times to each store
    And the MongoDB and Redis servers of the primary region are killed and their disks are lost
    And recovery from backups brings back MongoDB as it was just before the drop and Redis as of its latest backup
    Then every store answers through its public name
    And the backups used were whole
    And the backups are kept for as long as the policy says
    And the reference data is unchanged
    And nothing acknowledged before the recovery point is missing
    And every acknowledged write is accounted for
    And the recovery time of each store meets its objective
    And the data loss of each store meets its objective
