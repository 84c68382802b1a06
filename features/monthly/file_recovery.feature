@monthly @critical @files
@soc_2_a1_2 @nist_cp_9 @iso_27001_a_8_13 @hipaa_164_308_a_7 @dora_12 @nis2_21_2_c @soc_2_a1_3 @nist_cp_4 @iso_22301_8_5 @dora_24_26 @nist_cp_10
Feature: File storage recovery
  Uploads and generated PDFs are backed up daily. This drill loses the file storage of the primary region with its disks, and brings it
  back from the vault alone, object by object verified.

  Scenario: The file storage of the primary region is lost with its disks
    Given the platform runs in two regions
    And file storage holds reference data
    And clients write to file storage
    And file storage has a full backup
    And clients have written 50 more times to each store
    When the file storage server of the primary region is killed and its disk is lost
    And recovery from backups brings back file storage as of its latest backup
    Then every store answers through its public name
    And the backups used were whole
    And the backups are kept for as long as the policy says
    And the reference data is unchanged
    And nothing acknowledged before the recovery point is missing
    And every acknowledged write is accounted for
    And the recovery time of each store meets its objective
    And the data loss of each store meets its objective
