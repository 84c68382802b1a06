@quarterly @critical @database @files @mongodb @redis
@soc_2_a1_3 @nist_cp_4 @iso_22301_8_5 @dora_24_26 @nist_cp_10 @iso_27001_a_5_30 @dora_11 @hipaa_164_308_a_7 @dora_12 @nis2_21_2_c
Feature: Full disaster recovery
  The strategy asks for a full disaster recovery drill every quarter. The primary region is lost with every disk in it, under load, and
  all stores come back from the vault alone.

  Background:
    Given the platform runs in two regions
    And MongoDB, Redis and file storage hold reference data
    And clients write to MongoDB, Redis and file storage
    And MongoDB has a full backup
    And the log of MongoDB is captured continuously
    And Redis has a snapshot backup
    And the log of Redis is captured continuously

  # The databases come back to the last entry of their continuously captured logs, file storage to its last backup: the least is lost.
  # Then the services, in the order of their dependencies.
  Scenario: A region is lost with everything in it
    Given the services are deployed
    And file storage has a full backup
    And clients have written 50 more times to each store
    When the MongoDB, Redis and file storage servers of the primary region are killed and their disks are lost
    And recovery from backups brings back MongoDB as of its latest backup, Redis as of its latest backup and file storage as of its latest backup
    And the services are brought up in order
    Then every store answers through its public name
    And every service is healthy and reaches what it depends on
    And an upload becomes a PDF
    And no reference between the stores dangles
    And the backups used were whole
    And the reference data is unchanged
    And nothing acknowledged before the recovery point is missing
    And every acknowledged write is accounted for
    And the recovery time of each store meets its objective
    And the data loss of each store meets its objective

  # The databases go back to the moment of the last file backup: a little more is lost, and no document names an object that is not there.
  Scenario: A region is lost and all stores come back as of one consistent moment
    Given clients have written 300 more times to each store
    And file storage has a full backup
    And clients have written 50 more times to each store
    When the MongoDB, Redis and file storage servers of the primary region are killed and their disks are lost
    And recovery from backups brings back file storage as of one moment, MongoDB as of one moment and Redis as of one moment
    Then the stores hold one consistent moment
    And every store answers through its public name
    And the backups used were whole
    And the reference data is unchanged
    And nothing acknowledged before the recovery point is missing
    And every acknowledged write is accounted for
    And the recovery time of each store meets its objective
    And the data loss of each store meets its objective
