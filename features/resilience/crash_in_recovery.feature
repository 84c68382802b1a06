@resilience @critical @database @mongodb @redis
@nist_cp_4 @nist_cp_10 @dora_24_26 @iso_27001_a_5_29
Feature: The recovery itself crashes
  Whoever restores at three in the morning may lose the machine that the restore runs on. What it has left must not be taken for whole, and
  the next attempt must get to the end, with nothing missing and nothing twice.

  Scenario: The restores of the databases are killed in the middle and begun again
    Given the platform runs in two regions
    And MongoDB and Redis hold reference data
    And clients write to MongoDB and Redis
    And MongoDB has a full backup
    And the log of MongoDB is captured continuously
    And Redis has a snapshot backup
    And the log of Redis is captured continuously
    And clients have written 50 more times to each store
    When the MongoDB and Redis servers of the primary region are killed and their disks are lost
    And recovery from backups is killed half-way, begun again, and brings back MongoDB as of its latest backup and Redis as of its latest backup
    Then every store answers through its public name
    And the backups used were whole
    And the reference data is unchanged
    And nothing acknowledged before the recovery point is missing
    And every acknowledged write is accounted for
    And the recovery time of each store meets its objective
    And the data loss of each store meets its objective

  @files
  Scenario: The restore of file storage is killed in the middle and begun again
    Given the platform runs in two regions
    And file storage holds reference data
    And clients write to file storage
    And file storage has a full backup
    And clients have written 50 more times to each store
    When the file storage server of the primary region is killed and its disk is lost
    And recovery from backups is killed half-way, begun again, and brings back file storage as of its latest backup
    Then every store answers through its public name
    And the backups used were whole
    And the reference data is unchanged
    And nothing acknowledged before the recovery point is missing
    And every acknowledged write is accounted for
    And the recovery time of each store meets its objective
    And the data loss of each store meets its objective
